package inventory

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	sqlitedriver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/virt-pki/virt-pki/pkg/internal/hint"
)

// The simple facts. Errors of this package wrap them; see also NewerError and StoreError.
var (
	// ErrNotFound says that no certificate of that key or serial number is known.
	ErrNotFound = errors.New("no such certificate in the inventory")
	// ErrNotInventory says that the file is something else.
	ErrNotInventory = errors.New("not an inventory of virt-pki or a certdb of cfssl")
)

// A DuplicateError says that a certificate of that serial number and authority is recorded already. Nothing of the batch
// was recorded.
type DuplicateError struct{ Key Key }

// Error gives the serial number.
func (e *DuplicateError) Error() string {
	return fmt.Sprintf("serial number %s is in the inventory already", e.Key.Serial)
}

// Is makes errors.Is(err, ErrDuplicateSerial) hold.
func (e *DuplicateError) Is(target error) bool { return target == ErrDuplicateSerial }

// ErrDuplicateSerial is what every DuplicateError is.
var ErrDuplicateSerial = errors.New("serial number is in the inventory already")

// A StateError says that a certificate cannot go from its state into another.
type StateError struct {
	Key      Key
	Is, Want State
}

// Error gives both states.
func (e *StateError) Error() string {
	return fmt.Sprintf("certificate %s is %s and cannot become %s", e.Key.Serial, e.Is, e.Want)
}

// A NewerError says that a newer virt-pki has changed the inventory's schema.
type NewerError struct {
	Path string
	// Schema is what the file has, Known the newest this program knows.
	Schema, Known int
}

// Error gives both schemas.
func (e *NewerError) Error() string {
	return fmt.Sprintf("inventory %q has schema %d, this program knows schemas up to %d", e.Path, e.Schema, e.Known)
}

// Hints names the remedy.
func (e *NewerError) Hints() []string {
	return []string{"use the virt-pki that last wrote this inventory, or a newer one"}
}

// Trouble is a class of failures of the place where the inventory lies.
type Trouble string

// The troubles.
const (
	Busy       Trouble = "another program holds the inventory locked"
	ReadOnly   Trouble = "the inventory cannot be written"
	Full       Trouble = "no space left for the inventory"
	Damaged    Trouble = "the inventory is damaged"
	Unreadable Trouble = "the inventory cannot be read"
	// Unreachable: of PostgreSQL only.
	Unreachable Trouble = "the inventory's database cannot be reached"
)

// A StoreError is a failure of the file or the file system, not of what was asked.
type StoreError struct {
	Path    string
	Trouble Trouble
	Err     error
}

// Error gives the file, what is wrong and the database's own words.
func (e *StoreError) Error() string { return fmt.Sprintf("%q: %s: %v", e.Path, e.Trouble, e.Err) }

// Unwrap gives the cause.
func (e *StoreError) Unwrap() error { return e.Err }

// Hints names the remedy.
func (e *StoreError) Hints() []string {
	if IsPostgres(e.Path) {
		return e.postgresHints()
	}
	switch e.Trouble {
	case Busy:
		return []string{"wait for the other virt-pki, or find it: fuser -v " + hint.Word(e.Path)}
	case ReadOnly:
		return []string{"its directory must be writable too, for the journal: ls -ld " + hint.Word(dirOf(e.Path)),
			"is the file system mounted read-only? findmnt -T " + hint.Word(e.Path)}
	case Full:
		return []string{"make room: df -h " + hint.Word(dirOf(e.Path))}
	case Damaged:
		return []string{"restore it from a backup; what can be saved shows: sqlite3 " + hint.Word(e.Path) + " .recover"}
	case Unreadable:
		return []string{"who may read it: ls -l " + hint.Word(e.Path)}
	}
	return nil
}

// postgresHints names the remedy where the inventory is a PostgreSQL database.
func (e *StoreError) postgresHints() []string {
	switch e.Trouble {
	case Unreachable:
		return []string{"is it running, and does it let you in? psql " + hint.Word(e.Path) + " -c 'select 1'"}
	case Busy:
		return []string{"who holds it: psql " + hint.Word(e.Path) + " -c 'select pid, state, query from pg_stat_activity'"}
	case ReadOnly:
		return []string{"is it a standby, or does the role lack rights? psql " + hint.Word(e.Path) + " -c 'select pg_is_in_recovery()'"}
	case Full:
		return []string{"make room on the database's server"}
	case Damaged:
		return []string{"see the database server's log"}
	}
	return nil
}

// dirOf gives the directory of a path.
func dirOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		return path[:i]
	} else if i == 0 {
		return "/"
	}
	return "."
}

// wrap turns an error of the database into one of ours: it says what was being done and classifies what failed.
func (inv *Inventory) wrap(doing string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && inv.dialect == sqlite {
		return fmt.Errorf("%s %q: %w", doing, inv.path, err)
	}
	if inv.dialect == postgres {
		if trouble, known := postgresTrouble(err); known {
			return fmt.Errorf("%s %w", doing, &StoreError{inv.path, trouble, err})
		}
	}
	var se *sqlitedriver.Error
	if !errors.As(err, &se) {
		return fmt.Errorf("%s %q: %w", doing, inv.path, err)
	}
	var trouble Trouble
	switch se.Code() & 0xff {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		trouble = Busy
	case sqlite3.SQLITE_READONLY:
		trouble = ReadOnly
	case sqlite3.SQLITE_FULL:
		trouble = Full
	case sqlite3.SQLITE_CORRUPT:
		trouble = Damaged
	case sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_AUTH:
		trouble = Unreadable
		if doing == doingRecord || doing == doingMark {
			trouble = ReadOnly
		}
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%s %q: %w", doing, inv.path, ErrNotInventory)
	default:
		return fmt.Errorf("%s %q: %w", doing, inv.path, err)
	}
	return fmt.Errorf("%s %w", doing, &StoreError{inv.path, trouble, err})
}

// isUnique reports whether a primary key or unique constraint was violated.
func isUnique(err error) bool {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code == "23505"
	}
	var se *sqlitedriver.Error
	return errors.As(err, &se) &&
		(se.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || se.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE)
}
