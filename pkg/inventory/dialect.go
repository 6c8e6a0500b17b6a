package inventory

import (
	"context"
	"database/sql"

	"github.com/jmoiron/sqlx"
)

// A dialect is a kind of database. What both understand is written once; here is the rest.
type dialect string

const (
	sqlite   dialect = "sqlite"
	postgres dialect = "postgres"
)

// tables gives the query for the names of all tables.
func (d dialect) tables() string {
	if d == postgres {
		return `SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'`
	}
	return `SELECT name FROM sqlite_master WHERE type = 'table'`
}

// commonNameColumns gives the query that counts the column that the second of cfssl's migrations adds.
func (d dialect) commonNameColumns() string {
	if d == postgres {
		return `SELECT count(*) FROM information_schema.columns
			WHERE table_schema = current_schema() AND table_name = 'certificates' AND column_name = 'common_name'`
	}
	return `SELECT count(*) FROM pragma_table_info('certificates') WHERE name = 'common_name'`
}

// schemaLock is the number of the advisory lock that migrations take in PostgreSQL: "vpki".
const schemaLock = 0x76706b69

// lockSchema keeps others from migrating until the transaction ends. SQLite's transactions have the lock from their
// beginning.
func (d dialect) lockSchema(ctx context.Context, tx *sqlx.Tx) error {
	if d != postgres {
		return nil
	}
	_, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, schemaLock)
	return err
}

// forUpdate is what makes a SELECT lock its rows until the transaction ends.
func (d dialect) forUpdate() string {
	if d == postgres {
		return " FOR UPDATE"
	}
	return ""
}

// snapshot is what makes a transaction see one moment throughout. SQLite's do so anyway.
func (d dialect) snapshot() *sql.TxOptions {
	if d == postgres {
		return &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	}
	return nil
}

// steady is the isolation in which a transaction sees one moment throughout.
func (d dialect) steady() sql.IsolationLevel {
	if d == postgres {
		return sql.LevelRepeatableRead
	}
	return sql.LevelDefault
}
