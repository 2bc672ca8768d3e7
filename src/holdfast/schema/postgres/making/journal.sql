-- What keeps a store's journal on PostgreSQL. Every name says its schema, so that no
-- `search_path` leads a trigger astray. The triggers are deferred: they run at COMMIT,
-- each row's in the order in which the rows were changed, under a lock that is held
-- until the commit is there. So `seq` has no gaps, and its order is that of commits.

-- Let who knows this format write, as long as it may; whoever changes the tables waits.
create or replace function {schema}.admits(format bigint) returns void
language plpgsql as $$
begin
    perform pg_catalog.pg_advisory_xact_lock_shared({making});
    if format < (select s.value::bigint from {schema}.store s
        where s.name = 'writes_from') then
        raise exception 'only a newer holdfast may write here by now; nothing was '
            'written: upgrade holdfast' using errcode = '{too_new}';
    end if;
end $$;

-- At the end of a unit: its last change is its moment.
create or replace function {schema}.receipt_given() returns trigger
language plpgsql as $$
begin
    {past_the_wall}
    perform pg_catalog.pg_advisory_xact_lock({committing});
    update {schema}.change c set actor = new.actor, cause = new.cause,
        at = greatest(new.at, (select b.at from {schema}.change b
            where b.at is not null order by b.seq desc limit 1))
    where c.seq = (select max(l.seq) from {schema}.change l) and c.at is null;
    if found and not pg_catalog.pg_try_advisory_xact_lock({listening}) then
        perform pg_catalog.pg_notify('{channel}', '');
    end if;
    {behind_the_wall}
    return null;
end $$;
drop trigger if exists receipt_given on {schema}.receipt;
create constraint trigger receipt_given after insert on {schema}.receipt
    deferrable initially deferred
    for each row execute function {schema}.receipt_given();

-- The journal refuses to be rewritten, by whatever program: a change is stamped once,
-- and is deleted only when the floor was put above it.
create or replace function {schema}.refuse() returns trigger language plpgsql as $$
begin
    raise exception '%', tg_argv[0];
end $$;
create or replace function {schema}.change_kept() returns trigger
language plpgsql as $$
begin
    if old.seq > (select s.value::bigint from {schema}.store s
        where s.name = 'journal_floor') then
        raise exception 'the journal is not to be unwritten';
    end if;
    return old;
end $$;
create or replace function {schema}.change_fixed() returns trigger
language plpgsql as $$
begin
    if old.at is not null or new.at is null or new.seq <> old.seq
        or new.kind <> old.kind or new.owner <> old.owner or new.no <> old.no
        or new.op <> old.op then
        raise exception 'the journal is not to be rewritten';
    end if;
    return new;
end $$;
drop trigger if exists change_kept on {schema}.change;
create trigger change_kept before delete on {schema}.change
    for each row execute function {schema}.change_kept();
drop trigger if exists change_not_emptied on {schema}.change;
create trigger change_not_emptied before truncate on {schema}.change
    for each statement
    execute function {schema}.refuse('the journal is not to be unwritten');
drop trigger if exists change_fixed on {schema}.change;
create trigger change_fixed before update on {schema}.change
    for each row execute function {schema}.change_fixed();

-- Have every change of a table's rows journalled, with the row as it was. Safe to do
-- again: columns and indexes of the images follow those that the table has by now.
create or replace function {schema}.journalise(name text) returns void
language plpgsql as $make$
declare
    here regclass := format('{schema}.%I', name);
    images text := 'was_' || name;
    wanted text[];
    made record;
    columns text;
    old_row text;
begin
    execute format('create table if not exists {schema}.%I '
        '(died bigint primary key, born bigint not null, like {schema}.%I)',
        images, name);
    for made in
        select a.attname, format_type(a.atttypid, a.atttypmod) as typed,
            case when a.attcollation <> t.typcollation then ' collate "C"' else '' end
                as collated
        from pg_attribute a join pg_type t on t.oid = a.atttypid
        where a.attrelid = here and a.attnum > 0 and not a.attisdropped
        order by a.attnum
    loop
        execute format('alter table {schema}.%I add column if not exists %I %s%s',
            images, made.attname, made.typed, made.collated);
    end loop;
    for made in
        select a.attname from pg_attribute a
        where a.attrelid = format('{schema}.%I', images)::regclass and a.attnum > 0
            and not a.attisdropped and a.attname not in ('died', 'born')
            and not exists (select 1 from pg_attribute b where b.attrelid = here
                and b.attname = a.attname and not b.attisdropped)
    loop
        execute format('alter table {schema}.%I drop column %I', images, made.attname);
    end loop;
    wanted := array[images || '_no'];
    execute format('create index if not exists %I on {schema}.%I (no, died)',
        images || '_no', images);
    for made in
        select distinct string_agg(a.attname, ', ' order by k.place) as listed,
            left(images || '_' || string_agg(a.attname, '_' order by k.place), 63)
                as called
        from pg_index i, unnest(i.indkey::int2[]) with ordinality k (number, place),
            pg_attribute a
        where i.indrelid = here and not i.indisprimary
            and a.attrelid = i.indrelid and a.attnum = k.number
        group by i.indexrelid
    loop
        wanted := wanted || made.called;
        execute format('create index if not exists %I on {schema}.%I (%s, died)',
            made.called, images, made.listed);
    end loop;
    for made in
        select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid
        where i.indrelid = format('{schema}.%I', images)::regclass
            and not i.indisprimary and c.relname <> all (wanted)
    loop
        execute format('drop index {schema}.%I', made.relname);
    end loop;
    select string_agg(quote_ident(a.attname), ', ' order by a.attnum),
        string_agg('old.' || quote_ident(a.attname), ', ' order by a.attnum)
    into columns, old_row from pg_attribute a
    where a.attrelid = here and a.attnum > 0 and not a.attisdropped;
    execute format($text$
        create or replace function {schema}.%1$s_journal() returns trigger
        language plpgsql as $journal$
        declare
            died bigint;
        begin
            {past_the_wall}
            perform pg_catalog.pg_advisory_xact_lock({committing});
            if tg_op = 'INSERT' then
                insert into {schema}.change (seq, kind, owner, no, op)
                select coalesce(max(c.seq), 0) + 1, %1$L, new.owner, new.no, 'create'
                from {schema}.change c;
                {behind_the_wall}
                return null;
            end if;
            insert into {schema}.change (seq, kind, owner, no, op)
            select coalesce(max(c.seq), 0) + 1, %1$L, old.owner, old.no, lower(tg_op)
            from {schema}.change c
            returning seq into died;
            insert into {schema}.was_%1$s (died, born, %2$s)
            values (died, coalesce(
                (select max(c.seq) from {schema}.change c
                    where c.no = old.no and c.op <> 'create' and c.seq < died),
                (select max(c.seq) from {schema}.change c
                    where c.no = old.no and c.op = 'create' and c.no <> c.seq),
                case when old.no < {elsewhere} then old.no
                    else (select s.value::bigint from {schema}.store s
                        where s.name = 'journal_floor') end), %3$s);
            {behind_the_wall}
            return null;
        end $journal$;
        drop trigger if exists %1$s_journal on {schema}.%1$s;
        create constraint trigger %1$s_journal after insert or update or delete
            on {schema}.%1$s deferrable initially deferred
            for each row execute function {schema}.%1$s_journal();
        drop trigger if exists %1$s_numbered on {schema}.%1$s;
        create trigger %1$s_numbered before update of no on {schema}.%1$s
            for each row when (new.no <> old.no)
            execute function {schema}.refuse('the number of a row never changes');
        drop trigger if exists %1$s_not_emptied on {schema}.%1$s;
        create trigger %1$s_not_emptied before truncate on {schema}.%1$s
            for each statement
            execute function {schema}.refuse('rows are deleted, not truncated');
    $text$, name, columns, old_row);
end $make$;
