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

// The migrations, applied in the order of their numbers. NNN_name.DIALECT.sql is for one kind of database, NNN_name.sql for
// every one that has no file of its own. A released migration never changes.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// A migration is one step of the schema.
type migration struct {
	version int
	name    string
	sql     string
	// special says that it is for one dialect only.
	special bool
}

// migrations reads the embedded files of a dialect.
func (d dialect) migrations() ([]migration, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	byVersion := map[int]migration{}
	for _, name := range names {
		base, only, special := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(name, "migrations/"), ".sql"), ".")
		number, title, _ := strings.Cut(base, "_")
		version, err := strconv.Atoi(number)
		if err != nil {
			return nil, fmt.Errorf("migration %q has no number", name)
		}
		if _, there := byVersion[version]; special && only != string(d) || !special && there && byVersion[version].special {
			continue
		}
		text, err := migrationFiles.ReadFile(name)
		if err != nil {
			return nil, err
		}
		byVersion[version] = migration{version, title, string(text), special}
	}
	ms := make([]migration, 0, len(byVersion))
	for v := 1; v <= len(byVersion); v++ {
		m, there := byVersion[v]
		if !there {
			return nil, fmt.Errorf("migration %d is missing for %s", v, d)
		}
		ms = append(ms, m)
	}
	return ms, nil
}

// migrate brings the schema up to date. An inventory that is up to date is only read.
func (inv *Inventory) migrate(ctx context.Context) error {
	ms, err := inv.dialect.migrations()
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
	if err := inv.dialect.lockSchema(ctx, tx); err != nil {
		return err
	}
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
	if err := sqlx.SelectContext(ctx, q, &tables, inv.dialect.tables()); err != nil {
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
		ms, err := inv.dialect.migrations()
		if err == nil && version > len(ms) {
			err = &NewerError{inv.path, version, len(ms)}
		}
		return version, err
	case has["certificates"] && has["ocsp_responses"]:
		var column int
		err := sqlx.GetContext(ctx, q, &column, inv.dialect.commonNameColumns())
		return 1 + column, err
	case len(tables) == 0:
		return 0, nil
	case inv.dialect == postgres && !has["certificates"] && !has["ocsp_responses"] && !has["identity"]:
		return 0, nil // a database may hold other things beside
	}
	return 0, ErrNotInventory
}
