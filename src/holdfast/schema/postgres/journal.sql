-- leftover_next --
-- One lot of rows of a kind that is still to be deleted, and that nobody is at.
select no, below from leftover where kind = :kind limit 1 for update skip locked

-- journal_sizes --
-- How many bytes the journal and each table of images take, with their indexes.
select c.relname::text, pg_total_relation_size(c.oid) from pg_class c
where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r'
    and (c.relname = 'change' or c.relname like 'was\_%')
