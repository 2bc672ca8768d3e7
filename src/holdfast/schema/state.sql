-- tables --
-- A section is a group of keys under a name; its version is another with each change.
create table state_section (
    no integer primary key,
    owner text not null,
    id text not null,
    created_at integer not null,
    updated_at integer not null,
    version integer not null,
    unique (owner, id)
) strict;
-- What a key of a section has, as JSON text.
create table state_key (
    no integer primary key,
    owner text not null,
    section integer not null,
    key text not null,
    value text not null,
    unique (section, key)
) strict;

-- state_section_fields --
-- What a section's record is made of.
select s.no, s.owner, s.id, s.created_at, s.updated_at, s.version

-- state_section_get --
-- One section.
{state_section_fields}
from state_section s where s.owner = :owner and s.id = :id

-- state_section_list --
-- Sections of an owner after a name, in the order of their names.
{state_section_fields}
from state_section s where s.owner = :owner and s.id > :after
order by s.id limit :limit

-- state_section_keys --
-- How many keys a section has, and the bytes of their values.
select count(*), coalesce(sum(octet_length(k.value)), 0)
from state_key k where k.owner = :owner and k.section = :section

-- state_section_add --
-- Keep a new section.
insert into state_section (no, owner, id, created_at, updated_at, version)
values (:no, :owner, :id, :now, :now, 1)

-- state_section_change --
-- Say that a section has changed.
update state_section set updated_at = :now, version = :version
where owner = :owner and no = :no

-- state_section_drop --
-- Delete a section; its keys are deleted before.
delete from state_section where owner = :owner and no = :no

-- state_key_get --
-- What one key has.
select k.no, k.value from state_key k
where k.owner = :owner and k.section = :section and k.key = :key

-- state_key_page --
-- What keys of a section have, after one of them, in their order.
select k.key, k.value from state_key k
where k.owner = :owner and k.section = :section and k.key > :after
order by k.key limit :limit

-- state_key_add --
-- Keep what a new key has.
insert into state_key (no, owner, section, key, value)
values (:no, :owner, :section, :key, :value)

-- state_key_change --
-- Put another value in the place of a key's.
update state_key set value = :value
where owner = :owner and no = :no

-- state_key_drop --
-- Delete a key.
delete from state_key where owner = :owner and no = :no

-- state_key_drop_all --
-- Delete every key of a section.
delete from state_key where owner = :owner and section = :section

-- state_usage --
-- How many sections an owner has.
select count(*) from state_section where owner = :owner

-- state_key_usage --
-- How many keys an owner's sections have, and the bytes of these and their values.
select count(*), coalesce(sum(u.bytes), 0) from (
    select octet_length(k.key) + octet_length(k.value) as bytes from state_key k
    where k.owner = :owner
        and k.section in (select s.no from state_section s where s.owner = :owner)) u
