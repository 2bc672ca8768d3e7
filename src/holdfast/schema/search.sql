-- tables --
-- Which records have which words. A record's `rowid` is its row's number, which is
-- unique over all tables; each word stands behind a mark of its owner and table.
create virtual table search using fts5(
    words, content='', contentless_delete=1, detail=none, tokenize='ascii'
);
-- It is written in many small transactions; their parts are merged less often.
insert into search (search, rank) values ('automerge', 8);

-- search_add --
-- Say which words a record has.
insert or replace into search (rowid, words) values (:no, :words)

-- search_forget --
-- Take a record out.
delete from search where rowid = :no

-- search_clear --
-- Take every record out.
insert into search (search) values ('delete-all')

-- search_find --
-- The newest records with some words, before a place, none that came after the change
-- `upto`. A number from 2^39 on says nothing of that; the change does, if it is there.
select s.rowid from search s
where s.search match :query and s.rowid < :before
    and (s.rowid <= :upto or (s.rowid >= 549755813888 and coalesce((
        select c.seq from change c
        where c.no = s.rowid and c.op = 'create' and c.no <> c.seq
        order by c.seq limit 1), 0) <= :upto))
order by s.rowid desc limit :limit
