-- Row-level security, a second wall between owners: a transaction says whose rows it is
-- about, and sees and writes no others. What looks at every owner's rows says so.
create or replace function {schema}.guard_owners(name text) returns void
language plpgsql as $make$
begin
    execute format($text$
        alter table {schema}.%1$I enable row level security;
        alter table {schema}.%1$I force row level security;
        drop policy if exists owners on {schema}.%1$I;
        create policy owners on {schema}.%1$I using (
            owner = current_setting('holdfast.owner', true)
            or current_setting('holdfast.every_owner', true) = 'on');
    $text$, name);
end $make$;
select {schema}.guard_owners(c.relname::text) from pg_class c
where c.relnamespace = '{schema}'::regnamespace and c.relkind in ('r', 'p')
    and not c.relispartition and exists (select 1 from pg_attribute a
        where a.attrelid = c.oid and a.attname = 'owner');
