-- search_add --
-- Say which words a record has.
insert into search (record, owner, words)
values (:no, :owner, array_to_tsvector(string_to_array(:words, ' ')))
on conflict (record) do update
set owner = excluded.owner, words = excluded.words

-- search_forget --
-- Take a record out.
delete from search where record = :no

-- search_clear --
-- Take every record out.
delete from search

-- search_find --
-- The newest records with some words, before a place. The index on words is to be used,
-- and not the one on numbers, whatever is guessed of how rare a word is. Which came
-- after `upto` is looked up one by one, until there are enough that did not.
with found as materialized (
    select s.record from search s where s.owner = :owner and s.words @@ replace(replace(replace(replace(
        replace(:query, '"*', ''':*'), '"', ''''),
        ' NOT ', ' & !'), ' AND ', ' & '), ' OR ', ' | ')::tsquery)
select f.record from (
    select record from found where record < :before order by record desc) f
where (f.record <= :upto or (f.record >= 549755813888 and coalesce((
        select c.seq from change c
        where c.no = f.record and c.op = 'create' and c.no <> c.seq
        order by c.seq limit 1), 0) <= :upto))
order by f.record desc limit :limit
