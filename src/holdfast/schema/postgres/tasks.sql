-- task_log_usage --
-- How many log lines an owner's tasks have, and their bytes.
select count(*), coalesce(sum(octet_length(g.message)), 0)
from task t join task_log g on g.task = t.no
where t.owner = :owner
