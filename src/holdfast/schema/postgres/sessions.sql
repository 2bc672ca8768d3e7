-- session_list_tag --
-- Sessions with one tag (and of one status and parent, if given), newest first.
{session_fields}
from session_tag t join session s on s.no = t.session
where t.owner = :owner and t.tag = :tag
    and (t.created_at, t.session) < (:before_at, :before_no)
    and (cast(:status as text) is null or s.status = :status)
    and (cast(:parent as text) is null or s.parent = :parent)
order by t.created_at desc, t.session desc limit :limit

-- session_usage --
-- How many messages an owner has, and their bytes; those that sessions share count once.
select count(*), coalesce(sum(octet_length(m.content)
    + coalesce(octet_length(m.metadata), 0)), 0)
from (
    select coalesce(s.line, s.no) as line, s.first from session s
    where s.owner = :owner
    union all
    select distinct g.source, 0 from (
        select x.source from session f
        join segment x on x.owner = :owner and x.session = f.no
        where f.owner = :owner
        union all
        select x.source from mark k
        join segment x on x.owner = :owner and x.session = k.no
        where k.owner = :owner
    ) g
    where not exists (
            select 1 from session w where w.no = g.source and w.line is null)
        and not exists (select 1 from session w where w.line = g.source)
) l join message m
    on m.owner = :owner and m.session = l.line and m.position >= l.first

-- session_list_tag_past --
-- Sessions with one tag, at a moment, by the tags that each has: newest first.
with recursive found as materialized (
    select s.* from session s
    where s.owner = :owner and (s.created_at, s.no) < (:before_at, :before_no)
        and cast(s.tags as jsonb) @> to_jsonb(cast(:tag as text))
        and (cast(:status as text) is null or s.status = :status)
        and (cast(:parent as text) is null or s.parent = :parent)
    order by s.created_at desc, s.no desc limit :limit
),
{newest_fields}
{standing_fields}
order by s.created_at desc, s.no desc

-- session_usage_past --
-- As `session_usage`, at a moment.
with lines as materialized (
    select l.line, min(l.first) as first from (
        select coalesce(s.line, s.no) as line, s.first from session s
        where s.owner = :owner
        union all
        select g.source, 0 from segment g
        where g.owner = :owner
            and g.session in (
                select f.no from session f where f.owner = :owner
                union all select k.no from mark k where k.owner = :owner)
            and not exists (
                select 1 from session w where w.no = g.source and w.line is null)
            and not exists (select 1 from session w where w.line = g.source)
    ) l group by l.line
)
select count(*), coalesce(sum(octet_length(m.content)
    + coalesce(octet_length(m.metadata), 0)), 0)
from lines l join message m
    on m.owner = :owner and m.session = l.line and m.position >= l.first
