-- tables --
-- A folder whose files are in the index; `type` is for those that say none. Of two files
-- with the same name and version, the one of the lower folder counts, then the lower path.
create table composition_folder (
    owner text not null,
    folder integer not null,
    path text not null,
    type text,
    problem text,
    added_at integer not null,
    primary key (owner, folder)
) strict, without rowid;
create unique index composition_folder_path on composition_folder (owner, path);
-- A file as it was read last. Without its size and what follows it is read again; so it
-- is if another `reader` read it. `revision` is another after each change of the row.
create table composition_file (
    owner text not null,
    folder integer not null,
    path text not null,
    revision integer not null,
    reader integer not null,
    size_bytes integer,
    modified_ns integer,
    changed_ns integer,
    inode integer,
    digest text,
    kind text,
    problem text,
    line integer,
    named text,
    primary key (owner, folder, path)
) strict, without rowid;
create index composition_file_problem on composition_file (owner, folder, path)
    where problem is not null;
create index composition_file_named on composition_file (owner, named)
    where problem is not null;
-- What a file holds. `place` orders versions by bytes, `words` is what is searched.
create table composition (
    owner text not null,
    folder integer not null,
    path text not null,
    name text not null,
    version text,
    place text not null,
    type text,
    description text not null,
    tags text not null,
    needs text not null,
    digest text not null,
    indexed_at integer not null,
    words text not null,
    content text not null,
    primary key (owner, folder, path)
) strict;
create unique index composition_name
    on composition (owner, name, place, folder, path);
-- By what compositions are found: `what` is type, tag or need.
create table composition_link (
    owner text not null,
    what text not null,
    value text not null,
    name text not null,
    place text not null,
    folder integer not null,
    path text not null,
    primary key (owner, what, value, name, place, folder, path)
) strict, without rowid;

-- composition_fields --
-- What an entry is made of, and where it stands among others.
select c.owner, g.path, c.path, c.name, c.version, c.type, c.description, c.tags,
    c.needs, c.digest, c.indexed_at, c.place, c.folder

-- composition_chosen_fields --
-- What else is asked of a composition; that no other file has it before, and, unless
-- every version is wanted, that none is newer.
    and (cast(:type as text) is null or c.type = :type)
    and (cast(:tag as text) is null or (
        select t.path from composition_link t
        where t.owner = c.owner and t.what = 'tag' and t.value = :tag
            and t.name = c.name and t.place = c.place and t.folder = c.folder
            and t.path = c.path) is not null)
    and (cast(:need as text) is null or (
        select n.path from composition_link n
        where n.owner = c.owner and n.what = 'need' and n.value = :need
            and n.name = c.name and n.place = c.place and n.folder = c.folder
            and n.path = c.path) is not null)
    and (cast(:words as text) is null or c.words like :words escape '!')
    and (select o.path from composition o
        where o.owner = c.owner and o.name = c.name
            and (o.place > c.place and cast(:every as bigint) = 0
                or o.place = c.place and (o.folder, o.path) < (c.folder, c.path))
        limit 1) is null

-- composition_get --
-- The newest composition of a name, with its content.
{composition_fields}
    , c.content
from composition c join composition_folder g on g.owner = c.owner and g.folder = c.folder
where c.owner = :owner and c.name = :name and c.place = (
    select max(m.place) from composition m where m.owner = :owner and m.name = :name)
order by c.folder, c.path limit 1

-- composition_get_version --
-- The composition of a name and a version, with its content.
{composition_fields}
    , c.content
from composition c join composition_folder g on g.owner = c.owner and g.folder = c.folder
where c.owner = :owner and c.name = :name and c.place = :place
order by c.folder, c.path limit 1

-- composition_lost --
-- A file that had a composition of a name when it could last be read.
select g.path, f.path, f.problem, f.line
from composition_file f
join composition_folder g on g.owner = f.owner and g.folder = f.folder
where f.owner = :owner and f.named = :named and f.problem is not null limit 1

-- composition_find --
-- Compositions by name and version, after a place in that order.
{composition_fields}
from composition c join composition_folder g on g.owner = c.owner and g.folder = c.folder
where c.owner = :owner
    and (c.name, c.place, c.folder, c.path)
        > (:after_name, :after_place, :after_folder, :after_path)
{composition_chosen_fields}
order by c.name, c.place, c.folder, c.path limit :limit

-- composition_find_name --
-- Compositions of one name by version, after a place in that order.
{composition_fields}
from composition c join composition_folder g on g.owner = c.owner and g.folder = c.folder
where c.owner = :owner and c.name = :name
    and (c.place, c.folder, c.path) > (:after_place, :after_folder, :after_path)
{composition_chosen_fields}
order by c.place, c.folder, c.path limit :limit

-- composition_find_linked --
-- Compositions of a type, with a tag or a need, by name and version, after a place.
{composition_fields}
from composition_link l
join composition c on c.owner = l.owner and c.folder = l.folder and c.path = l.path
join composition_folder g on g.owner = c.owner and g.folder = c.folder
where l.owner = :owner and l.what = :what and l.value = :value
    and (l.name, l.place, l.folder, l.path)
        > (:after_name, :after_place, :after_folder, :after_path)
{composition_chosen_fields}
order by l.name, l.place, l.folder, l.path limit :limit

-- composition_each --
-- Every composition by name and version, after a place: what it needs, and where it is.
select c.name, c.version, c.needs, g.path, c.path, c.place, c.folder
from composition c join composition_folder g on g.owner = c.owner and g.folder = c.folder
where c.owner = :owner
    and (c.name, c.place, c.folder, c.path)
        > (:after_name, :after_place, :after_folder, :after_path)
order by c.name, c.place, c.folder, c.path limit :limit

-- composition_broken --
-- Files that hold no composition, after a place in their order.
select g.path, f.path, f.kind, f.problem, f.line, f.named, f.folder
from composition_file f
join composition_folder g on g.owner = f.owner and g.folder = f.folder
where f.owner = :owner and f.problem is not null
    and (f.folder, f.path) > (:after_folder, :after_path)
order by f.folder, f.path limit :limit

-- composition_folder_list --
-- The folders of an owner in order, with how many files each has, and how many of them
-- hold no composition.
select g.folder, g.path, g.type, g.problem, g.added_at,
    (select count(*) from composition_file f
        where f.owner = g.owner and f.folder = g.folder),
    (select count(*) from composition_file b
        where b.owner = g.owner and b.folder = g.folder and b.problem is not null)
from composition_folder g where g.owner = :owner and g.folder > :after
order by g.folder limit :limit

-- composition_folder_get --
-- A folder by its path.
select g.folder, g.type from composition_folder g
where g.owner = :owner and g.path = :path

-- composition_folder_every --
-- The folders of an owner in order, after a place: just what they are.
select g.folder, g.path, g.problem from composition_folder g
where g.owner = :owner and g.folder > :after order by g.folder limit :limit

-- composition_folder_last --
-- The number of the folder that was added last.
select max(g.folder) from composition_folder g where g.owner = :owner

-- composition_folder_add --
-- Have the files of a folder in the index.
insert into composition_folder (owner, folder, path, type, added_at)
values (:owner, :folder, :path, :type, :now)

-- composition_folder_type --
-- Say of which type those of a folder's files are that say none.
update composition_folder set type = :type where owner = :owner and folder = :folder

-- composition_folder_note --
-- Say what came of looking through a folder.
update composition_folder set problem = :problem
where owner = :owner and folder = :folder

-- composition_folder_drop --
-- Have a folder in the index no more.
delete from composition_folder where owner = :owner and folder = :folder

-- composition_folder_stale --
-- Have every file of a folder read again by the next scan.
update composition_file set size_bytes = null, digest = null, revision = revision + 1
where owner = :owner and folder = :folder

-- composition_seen --
-- What is known of a folder's files, after a path.
select f.path, f.size_bytes, f.modified_ns, f.changed_ns, f.inode, f.reader, f.revision,
    f.digest, f.problem
from composition_file f
where f.owner = :owner and f.folder = :folder and f.path > :after
order by f.path limit :limit

-- composition_files_at --
-- Which revisions the rows of some files have, and what is found by them.
select f.path, f.revision, f.named, c.name, c.place, c.type, c.tags, c.needs
from composition_file f
left join composition c on c.owner = f.owner and c.folder = f.folder and c.path = f.path
where f.owner = :owner and f.folder = :folder
    and f.path in (select value from json_each(:paths))

-- composition_file_put --
-- Say how a file was read.
insert into composition_file (owner, folder, path, revision, reader, size_bytes,
    modified_ns, changed_ns, inode, digest, kind, problem, line, named)
values (:owner, :folder, :path, :revision, :reader, :size_bytes, :modified_ns,
    :changed_ns, :inode, :digest, :kind, :problem, :line, :named)
on conflict (owner, folder, path) do update set revision = excluded.revision,
    reader = excluded.reader, size_bytes = excluded.size_bytes,
    modified_ns = excluded.modified_ns, changed_ns = excluded.changed_ns,
    inode = excluded.inode, digest = excluded.digest, kind = excluded.kind,
    problem = excluded.problem, line = excluded.line, named = excluded.named

-- composition_file_touch --
-- Say how a file looks whose bytes are as they were.
update composition_file set revision = :revision, reader = :reader,
    size_bytes = :size_bytes, modified_ns = :modified_ns, changed_ns = :changed_ns,
    inode = :inode
where owner = :owner and folder = :folder and path = :path

-- composition_file_drop --
-- Leave out a file.
delete from composition_file
where owner = :owner and folder = :folder and path = :path

-- composition_add --
-- Keep what a file holds.
insert into composition (owner, folder, path, name, version, place, type, description,
    tags, needs, digest, indexed_at, words, content)
values (:owner, :folder, :path, :name, :version, :place, :type, :description, :tags,
    :needs, :digest, :now, :words, :content)

-- composition_drop --
-- Leave out what a file held.
delete from composition where owner = :owner and folder = :folder and path = :path

-- composition_link_add --
-- Have a composition found by something.
insert into composition_link (owner, what, value, name, place, folder, path)
values (:owner, :what, :value, :name, :place, :folder, :path)
on conflict (owner, what, value, name, place, folder, path) do nothing

-- composition_link_drop --
-- Have a composition found by something no more.
delete from composition_link
where owner = :owner and what = :what and value = :value and name = :name
    and place = :place and folder = :folder and path = :path

-- index_owners --
-- The first owner of a folder, from a place in their order on.
select min(owner) from composition_folder where owner >= :after

-- index_usage --
-- How many compositions an owner has, and the bytes of what they hold.
select count(*), coalesce(sum(octet_length(content)), 0) from composition
where owner = :owner
