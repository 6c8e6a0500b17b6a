package inventory

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jmoiron/sqlx"
	_ "modernc.org/sqlite" // the driver
)

// What is being done, for messages.
const (
	doingOpen   = "opening the inventory"
	doingCreate = "creating the inventory"
	doingRecord = "recording in the inventory"
	doingMark   = "updating the inventory"
	doingRead   = "reading the inventory"
)

// An Inventory is an open inventory. Several goroutines may use it, and several processes may have the same one open.
type Inventory struct {
	path string
	db   *sqlx.DB
	// dialect is whose SQL the database understands.
	dialect dialect
}

// Open opens an inventory and brings its schema up to date. A file that does not exist is an error (fs.ErrNotExist); an
// empty file is an inventory whose creation was interrupted, and is completed. A path that begins with postgres:// or
// postgresql:// names a PostgreSQL database, whose tables are made where there are none.
func Open(ctx context.Context, path string) (*Inventory, error) {
	if IsPostgres(path) {
		return openPostgres(ctx, path, doingOpen)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", doingOpen, err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s %q: %w: no regular file", doingOpen, path, ErrNotInventory)
	}
	return open(ctx, path, source(path), doingOpen)
}

// Create makes an empty inventory of mode 0600. It refuses a file that exists (fs.ErrExist). The caller syncs the
// directory. A PostgreSQL database must be there, see Open.
func Create(ctx context.Context, path string) (*Inventory, error) {
	if IsPostgres(path) {
		return openPostgres(ctx, path, doingCreate)
	}
	return createFile(ctx, path, source(path))
}

// CreateStaged is Create for a file in a directory tree that nobody sees before the caller has synchronised it and given it
// its name: here nothing is synchronised, and there is no journal. When the process ends before, the tree is thrown away.
func CreateStaged(ctx context.Context, path string) (*Inventory, error) {
	return createFile(ctx, path, source(path, stagedPragmas...))
}

// OpenStaged is Open for what CreateStaged has made, in the same tree.
func OpenStaged(ctx context.Context, path string) (*Inventory, error) {
	return open(ctx, path, source(path, stagedPragmas...), doingOpen)
}

// stagedPragmas do without what makes transactions survive a crash. The journal in memory still undoes those that fail.
var stagedPragmas = []string{"synchronous(off)", "journal_mode(memory)"}

func createFile(ctx context.Context, path, source string) (*Inventory, error) {
	// The file is made here and not by SQLite, so that its mode does not depend on the umask and no symbolic link is
	// followed. SQLite gives its journal the same mode.
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doingCreate, err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", doingCreate, err)
	}
	return open(ctx, path, source, doingCreate)
}

// Memory makes an inventory that is gone when it is closed, for rehearsals.
func Memory(ctx context.Context) (*Inventory, error) { return open(ctx, "", source(""), doingCreate) }

// Path gives the file's name as it was given to Open, or the URL of a database without its password.
func (inv *Inventory) Path() string { return inv.path }

// Close ends the use of the inventory.
func (inv *Inventory) Close() error { return inv.db.Close() }

// open connects to the database and migrates it.
func open(ctx context.Context, path, source, doing string) (*Inventory, error) {
	db, err := sqlx.Open("sqlite", source)
	if err != nil {
		return nil, fmt.Errorf("%s %q: %w", doing, path, err)
	}
	// One connection: SQLite has one writer at a time anyway, and goroutines of this process then queue up in order
	// instead of polling for the lock.
	db.SetMaxOpenConns(1)
	inv := &Inventory{path, db, sqlite}
	if err := inv.migrate(ctx); err != nil {
		db.Close()
		return nil, inv.wrap(doing, err)
	}
	return inv, nil
}

// source gives the driver's name of the database. Times are written as cfssl's own driver does (mattn's format), because
// certdb compares them as text; transactions take the write lock when they begin, so that two processes cannot both read
// and then fail to write; who finds it taken waits up to a minute; a commit is on the disk when it
// returns; and the cache (16 MiB) holds the indexes of some ten thousand certificates, into which random serial numbers
// fall anywhere. Further pragmas come after these.
func source(path string, pragmas ...string) string {
	q := url.Values{
		"_time_format": {"sqlite"},
		"_txlock":      {"immediate"},
		"_pragma":      append([]string{"busy_timeout(60000)", "synchronous(full)", "cache_size(-16384)"}, pragmas...),
	}
	if path == "" {
		return "file::memory:?" + q.Encode()
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	q.Set("mode", "rw") // never create: Create does
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}
