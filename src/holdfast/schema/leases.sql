-- tables --
-- Who may write to a record until when. The row stays when the lease is over, so that
-- the next fence is larger. Leases are not journalled.
create table lease (
    kind text not null,
    owner text not null,
    id text not null,
    holder text not null,
    fence integer not null,
    until_at integer not null,
    primary key (kind, owner, id)
) strict, without rowid;

-- lease_get --
-- The newest lease of a record, whether it lives or is over.
select holder, fence, until_at from lease
where kind = :kind and owner = :owner and id = :id

-- lease_put --
-- Give a record a new lease.
insert into lease (kind, owner, id, holder, fence, until_at)
values (:kind, :owner, :id, :holder, :fence, :until)
on conflict (kind, owner, id) do update
set holder = excluded.holder, fence = excluded.fence, until_at = excluded.until_at

-- lease_extend --
-- Move the end of the lease that has this fence.
update lease set until_at = :until
where kind = :kind and owner = :owner and id = :id and fence = :fence
