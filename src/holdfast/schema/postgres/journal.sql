-- leftover_next --
-- One lot of rows of a kind that is still to be deleted, and that nobody is at.
select no, below from leftover where kind = :kind limit 1 for update skip locked
