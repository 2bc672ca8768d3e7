-- receipt_add --
-- Leave a receipt, by which it can be found out whether a unit was committed.
insert into receipt (id, at, actor, cause, format)
values (:id, :at, :actor, :cause, :format)

-- receipt_take --
-- Take a receipt's place, if it is free, so that a commit on its way must fail.
insert into receipt (id, at, actor, cause, format)
values (:id, :at, :actor, :cause, :format)
on conflict (id) do nothing

-- receipt_find --
-- Which format a receipt says. It is locked, so that our own commit, which writes then,
-- waits for the same standbys as the one that left it.
select format from receipt where id = :id for update

-- receipt_sweep --
-- Delete some receipts that nobody can ask for any more.
delete from receipt where id = any (array(
    select id from receipt where id < :before order by id limit :limit
    for update skip locked))
