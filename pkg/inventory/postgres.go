package inventory

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
)

// IsPostgres reports whether a path names a PostgreSQL database: postgres://USER@HOST/DATABASE, with libpq's parameters.
// What the URL does not say is taken from libpq's environment variables and password file, as psql does.
func IsPostgres(path string) bool {
	return strings.HasPrefix(path, "postgres://") || strings.HasPrefix(path, "postgresql://")
}

// Limits of a connection to PostgreSQL: until it stands, between signs of life, and in all for how many goroutines.
const (
	connectTimeout = 15 * time.Second
	keepAlive      = 15 * time.Second
	connections    = 4
)

// session prepares each connection. Who finds a row locked waits a minute, as with SQLite; and a commit is on the disk when
// it returns, also where the server's default is another.
const session = `SET lock_timeout = '60s';
	SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`

// openPostgres connects to a database and migrates it.
func openPostgres(ctx context.Context, source, doing string) (*Inventory, error) {
	shown := withoutPassword(source)
	config, err := pgx.ParseConfig(source)
	if err != nil {
		return nil, fmt.Errorf("%s %q: the URL cannot be read: %s", doing, shown, reasonOf(err))
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
	config.DialFunc = (&net.Dialer{KeepAlive: keepAlive}).DialContext
	db := sqlx.NewDb(stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
		_, err := c.Exec(ctx, session)
		return err
	})), "pgx")
	db.SetMaxOpenConns(connections)
	inv := &Inventory{shown, db, postgres}
	if err := inv.migrate(ctx); err != nil {
		db.Close()
		return nil, inv.wrap(doing, err)
	}
	return inv, nil
}

// reasonOf gives why a URL cannot be read, without the URL, which may hold a password.
func reasonOf(err error) string {
	for e := errors.Unwrap(err); e != nil; e = errors.Unwrap(err) {
		err = e
	}
	return err.Error()
}

// withoutPassword gives a database's URL for messages.
func withoutPassword(source string) string {
	u, err := url.Parse(source)
	if err != nil {
		scheme, _, _ := strings.Cut(source, "://")
		return scheme + "://..."
	}
	if u.User != nil {
		u.User = url.User(u.User.Username())
	}
	if q := u.Query(); q.Has("password") || q.Has("sslpassword") {
		q.Del("password")
		q.Del("sslpassword")
		u.RawQuery = q.Encode()
	}
	return u.String()
}

// postgresTrouble classifies an error of PostgreSQL or of the way to it (appendix A of its manual).
func postgresTrouble(err error) (Trouble, bool) {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		switch {
		case pe.Code == "55P03" || pe.Code == "57014" || pe.Code == "40P01":
			return Busy, true
		case pe.Code == "25006" || pe.Code == "42501":
			return ReadOnly, true
		case strings.HasPrefix(pe.Code, "53"):
			return Full, true
		case strings.HasPrefix(pe.Code, "XX") || strings.HasPrefix(pe.Code, "58"):
			return Damaged, true
		case strings.HasPrefix(pe.Code, "08"), strings.HasPrefix(pe.Code, "28"), strings.HasPrefix(pe.Code, "57P"), strings.HasPrefix(pe.Code, "3D"):
			return Unreachable, true
		}
		return "", false
	}
	var ce *pgconn.ConnectError
	var ne net.Error
	if errors.As(err, &ce) || errors.As(err, &ne) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		pgconn.SafeToRetry(err) || strings.Contains(err.Error(), "conn closed") || strings.Contains(err.Error(), "bad connection") {
		return Unreachable, true
	}
	return "", false
}
