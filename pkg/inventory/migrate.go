package inventory

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jmoiron/sqlx"
)

// The migrations, applied in the order of their numbers. NNN_name.sql is for every database, NNN_name.sqlite.sql for
// SQLite only. A released migration never changes.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// dialect selects among the migrations.
const dialect = "sqlite"

// A migration is one step of the schema.
type migration struct {
	version int
	name    string
	sql     string
}

// migrations reads the embedded files.
func migrations() ([]migration, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql") // sorted
	if err != nil {
		return nil, err
	}
	var ms []migration
	for _, name := range names {
		base := strings.TrimSuffix(strings.TrimPrefix(name, "migrations/"), ".sql")
		base, only, special := strings.Cut(base, ".")
		if special && only != dialect {
			continue
		}
		number, title, _ := strings.Cut(base, "_")
		version, err := strconv.Atoi(number)
		if err != nil || version != len(ms)+1 {
			return nil, fmt.Errorf("migration %q is not number %d", name, len(ms)+1)
		}
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		ms = append(ms, migration{version, title, string(text)})
	}
	return ms, nil
}

// migrate brings the schema up to date. An inventory that is up to date is only read.
func (inv *Inventory) migrate(ctx context.Context) error {
	ms, err := migrations()
	if err != nil {
		return err
	}
	have, err := inv.schema(ctx, inv.db)
	if err != nil || have == len(ms) {
		return err
	}
	tx, err := inv.db.BeginTxx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	// Another process may have migrated while we waited for the lock.
	if have, err = inv.schema(ctx, tx); err != nil {
		return err
	}
	if have < len(ms) {
		if _, err := tx.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS virt_pki_schema (version integer NOT NULL PRIMARY KEY)`); err != nil {
			return err
		}
		for v := 1; v <= len(ms); v++ {
			if v > have {
				if _, err := tx.ExecContext(ctx, ms[v-1].sql); err != nil {
					return fmt.Errorf("migration %d (%s): %w", v, ms[v-1].name, err)
				}
			}
			// Versions that cfssl's own migrations had reached are noted as well.
			if _, err := tx.ExecContext(ctx, tx.Rebind(`INSERT INTO virt_pki_schema (version)
				SELECT ? WHERE NOT EXISTS (SELECT 1 FROM virt_pki_schema WHERE version = ?)`), v, v); err != nil {
				return err
			}
		}
	}
	return tx.Commit()
}

// schema gives the version of the schema: 0 for an empty database, 1 or 2 for one that cfssl's migrations made.
func (inv *Inventory) schema(ctx context.Context, q sqlx.QueryerContext) (int, error) {
	var tables []string
	if err := sqlx.SelectContext(ctx, q, &tables, `SELECT name FROM sqlite_master WHERE type = 'table'`); err != nil {
		return 0, err
	}
	has := map[string]bool{}
	for _, t := range tables {
		has[t] = true
	}
	switch {
	case has["virt_pki_schema"]:
		var version int
		if err := sqlx.GetContext(ctx, q, &version, `SELECT max(version) FROM virt_pki_schema`); err != nil {
			return 0, err
		}
		ms, err := migrations()
		if err == nil && version > len(ms) {
			err = &NewerError{inv.path, version, len(ms)}
		}
		return version, err
	case has["certificates"] && has["ocsp_responses"]:
		var column int
		err := sqlx.GetContext(ctx, q, &column,
			`SELECT count(*) FROM pragma_table_info('certificates') WHERE name = 'common_name'`)
		return 1 + column, err
	case len(tables) == 0:
		return 0, nil
	}
	return 0, ErrNotInventory
}
