-- Which records have which words, each behind a mark of its owner and table. The owner
-- is said too, for row-level security, which may be there.
create table search (
    record bigint primary key,
    owner text not null,
    words tsvector not null
);
create index search_words on search using gin (words);
