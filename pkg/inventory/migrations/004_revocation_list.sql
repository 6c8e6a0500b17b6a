-- The last revocation list of each authority. The number is decimal, because it may have 20 octets (RFC 5280, 5.2.3); times
-- are seconds since 1970.
CREATE TABLE revocation_list (
  authority_key_identifier varchar(128) NOT NULL,
  number                   varchar(64)  NOT NULL,
  this_update              bigint       NOT NULL,
  next_update              bigint       NOT NULL,
  PRIMARY KEY(authority_key_identifier)
);
