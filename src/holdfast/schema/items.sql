-- tables --
-- An item is a document under a key in a namespace, whose text is such that all that is
-- within a namespace stands together, in order. `ends_at` is when it is out of sight,
-- `lifetime_us` how long it lives from its last use on. `vectors` is what stands for its
-- meaning.
create table item (
    no integer primary key,
    owner text not null,
    id text not null,
    namespace text not null,
    key text not null,
    created_at integer not null,
    updated_at integer not null,
    ends_at integer,
    lifetime_us integer,
    value text not null,
    vectors blob,
    unique (owner, id)
) strict;
create index item_place on item (owner, namespace, updated_at, no);
create index item_ends on item (ends_at) where ends_at is not null;

-- item_fields --
-- What an item's record is made of.
select i.no, i.owner, i.id, i.namespace, i.key, i.created_at, i.updated_at, i.ends_at,
    i.lifetime_us, i.value

-- item_get --
-- One item, whether it is past its time or not.
{item_fields}
from item i where i.owner = :owner and i.id = :id

-- item_add --
-- Keep a new item.
insert into item (no, owner, id, namespace, key, created_at, updated_at, ends_at,
    lifetime_us, value, vectors)
values (:no, :owner, :id, :namespace, :key, :now, :now, :ends_at,
    :lifetime_us, :value, :vectors)

-- item_change --
-- Put another value in the place of an item's.
update item set created_at = :created_at, updated_at = :now, ends_at = :ends_at,
    lifetime_us = :lifetime_us, value = :value, vectors = :vectors
where owner = :owner and no = :no

-- item_keep --
-- Let an item live until a time.
update item set ends_at = :ends_at where owner = :owner and no = :no

-- item_drop --
-- Delete an item.
delete from item where owner = :owner and no = :no

-- item_span --
-- The first and the last namespace that has items, between two.
select (select i.namespace from item i
        where i.owner = :owner and i.namespace > :above and i.namespace < :below
        order by i.namespace limit 1),
    (select i.namespace from item i
        where i.owner = :owner and i.namespace > :above and i.namespace < :below
        order by i.namespace desc limit 1)

-- item_list --
-- Items of one namespace, newest first, after a place in that order.
{item_fields}
from item i
where i.owner = :owner and i.namespace = :namespace
    and (i.updated_at, i.no) < (:before_at, :before_no)
    and (i.ends_at is null or i.ends_at > :now)
order by i.updated_at desc, i.no desc limit :limit

-- item_list_span --
-- Items of all namespaces between two, newest first.
{item_fields}
from item i
where i.owner = :owner and i.namespace > :above and i.namespace < :below
    and (i.updated_at, i.no) < (:before_at, :before_no)
    and (i.ends_at is null or i.ends_at > :now)
order by i.updated_at desc, i.no desc limit :limit

-- item_vectors --
-- What stands for the meaning of items between two namespaces, in the order of their
-- places; and what they say, where that is `asked`.
select i.namespace, i.updated_at, i.no, i.id, i.vectors,
    case when :asked = 1 then i.value end
from item i
where i.owner = :owner and i.namespace < :below
    and (i.namespace, i.updated_at, i.no) > (:above, :after_at, :after_no)
    and i.vectors is not null and (i.ends_at is null or i.ends_at > :now)
order by i.namespace, i.updated_at, i.no limit :limit

-- item_namespaces --
-- The namespaces that have items, between two, in order.
select i.namespace from item i
where i.owner = :owner and i.namespace > :above and i.namespace < :below
    and (i.ends_at is null or i.ends_at > :now)
group by i.namespace order by i.namespace limit :limit

-- item_namespaces_past --
-- As `item_namespaces`, at a moment.
select n.namespace from (
    select i.namespace from item i
    where i.owner = :owner and i.namespace > :above and i.namespace < :below
        and (i.ends_at is null or i.ends_at > :now)) n
group by n.namespace order by n.namespace limit :limit

-- item_usage --
-- How many items an owner has, and the bytes of what they carry.
select count(*), coalesce(sum(octet_length(value)
    + coalesce(octet_length(vectors), 0)), 0)
from item where owner = :owner

-- item_sweep --
-- Delete some items that are past their time.
delete from item where no in (
    select i.no from item i where i.ends_at <= :now order by i.ends_at limit :limit)
