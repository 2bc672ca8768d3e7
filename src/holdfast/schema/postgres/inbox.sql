-- inbox_purge --
-- Delete some messages that were processed before a time, in their order.
delete from inbox_message where owner = :owner and no = any (array(
    select i.no from inbox_message i
    where i.owner = :owner and i.processed_at < :before
    order by i.processed_at, i.no limit :limit))
and processed_at < :before
