-- message_sweep --
-- Delete some messages that stand from one position to before another, in their order.
delete from message where no = any (array(
    select m.no from message m
    where m.session = :session and m.position >= :first and m.position < :below
    order by m.position limit :limit))

-- task_log_sweep --
-- Delete some lines of a task's log, in their order.
delete from task_log where no = any (array(
    select no from task_log where task = :task order by position limit :limit))

-- agent_link_sweep --
-- Delete some links of an agent that was deleted, in their order.
delete from agent_link where no = any (array(
    select l.no from agent_link l where l.agent = :agent
    order by l.created_at, l.no limit :limit))

-- item_sweep --
-- Delete some items that are past their time.
delete from item where no = any (array(
    select i.no from item i where i.ends_at <= :now order by i.ends_at limit :limit))

-- checkpoint_sweep --
-- Delete some checkpoints of a thread, in their order.
delete from checkpoint where no = any (array(
    select k.no from checkpoint k where k.thread = :thread
    order by k.id, k.ns limit :limit))

-- write_sweep --
-- Delete some of the writes after those checkpoints that are deleted next.
delete from checkpoint_write where no = any (array(
    select g.no from checkpoint_write g where g.checkpoint = any (array(
        select k.no from checkpoint k where k.thread = :thread
        order by k.id, k.ns limit :limit))
    limit :limit))

-- value_sweep --
-- Delete some values of a thread.
delete from channel_value where no = any (array(
    select v.no from channel_value v where v.thread = :thread limit :limit))
