-- Searches for a whole name or a whole description, whatever the case of its letters. Only short texts are asked for so:
-- a description of more than 256 characters need not be known here, and most are longer.
create index registry_artifact_whole on registry_artifact (lower(left(name, 256))) where kind is not null;
create index registry_artifact_brief on registry_artifact (lower(description))
    where kind is not null and length(description) between 1 and 256;
