-- What certdb has no column for. Keyed like certificates; times are seconds since 1970; names and addresses are JSON
-- arrays of strings. The keys have the types of certdb's, so that the tables can be joined by them.
CREATE TABLE identity (
  serial_number            bytea        NOT NULL,
  authority_key_identifier bytea        NOT NULL,
  host                     text         NOT NULL,
  role                     varchar(16)  NOT NULL,
  layout                   text         NOT NULL,
  key_id                   varchar(128) NOT NULL,
  subject                  text         NOT NULL,
  names                    text         NOT NULL,
  addresses                text         NOT NULL,
  state                    varchar(16)  NOT NULL,
  created_at               bigint       NOT NULL,
  PRIMARY KEY(serial_number, authority_key_identifier)
);

CREATE INDEX identity_host ON identity (host);
