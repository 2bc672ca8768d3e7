-- composition_files_at --
-- Which revisions the rows of some files have, and what is found by them.
select f.path, f.revision, f.named, c.name, c.place, c.type, c.tags, c.needs
from composition_file f
left join composition c on c.owner = f.owner and c.folder = f.folder and c.path = f.path
where f.owner = :owner and f.folder = :folder and f.path = any (array(
    select json_array_elements_text(cast(:paths as json))))
