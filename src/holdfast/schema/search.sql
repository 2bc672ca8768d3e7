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
-- The newest records with some words, before a place; of those that have the number of
-- a change, none that came after `upto`.
select rowid from search
where search match :query and rowid < :before
    and (rowid <= :upto or rowid >= 549755813888)
order by rowid desc limit :limit
