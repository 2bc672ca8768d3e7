-- Rows that were copied from a store on PostgreSQL have numbers that are not the `seq`
-- of their creation; it is found by this.
create index change_made on change (no, seq) where op = 'create' and no <> seq;
