-- machine_defined --
-- As in the shared file; the server would sort all of a machine's steps for it.
{machine_fields}
    , (select l.fence from lease l where l.kind = 'machines' and l.owner = m.owner
        and l.id = m.id and l.until_at > :now),
    d.version, d.digest
{machine_newest_fields}
join machine_definition d on d.owner = m.owner and d.name = m.name
    and d.version = (select max(y.version) from machine_definition y
        where y.owner = m.owner and y.name = m.name)
where m.owner = :owner and m.id = :id

-- machine_list_state --
-- As in the shared file; the server takes the newest step for a rare one, and would
-- read all machines that are in the state.
{machine_fields}
from (
    select w.no, w.owner, w.created_at from machine_now w
    where w.owner = :owner and w.name = :name and w.state = :state
        and (w.created_at, w.no) < (:before_at, :before_no)
    order by w.created_at desc, w.no desc limit :limit
) w
join machine m on m.owner = w.owner and m.no = w.no
join machine_step g on g.owner = m.owner and g.machine = m.no
    and g.position = (select max(x.position) from machine_step x
        where x.owner = m.owner and x.machine = m.no)
order by w.created_at desc, w.no desc limit :limit
