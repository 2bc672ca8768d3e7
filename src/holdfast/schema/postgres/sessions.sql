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
-- How many messages an owner has, and their bytes.
select count(*), coalesce(sum(octet_length(m.content)
    + coalesce(octet_length(m.metadata), 0)), 0)
from session s join message m on m.session = s.no and m.position >= s.first
where s.owner = :owner
