package peer

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"
)

// PostgreSQL is a private database server. It listens on a UNIX socket only.
type PostgreSQL struct {
	*Process
	bin, run, data string
	place          Place
}

// StartPostgreSQL starts a PostgreSQL with an empty cluster, of the newest version that is installed, and waits until it
// serves. As root it runs as nobody, because PostgreSQL refuses to run as root.
func StartPostgreSQL(t testing.TB) *PostgreSQL {
	t.Helper()
	bins, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres") // Debian keeps them out of PATH
	if len(bins) == 0 {
		Need(t, "postgres")
		bins = []string{"postgres"}
	}
	sort.Strings(bins)
	run := Dir(t)
	s := &PostgreSQL{bin: filepath.Dir(bins[len(bins)-1]), run: run, data: filepath.Join(run, "data"),
		place: Place{Home: run, Timeout: time.Minute}}
	if os.Geteuid() == 0 {
		s.place.User = "nobody"
		Own(t, run, "nobody")
	}
	s.place.Must(t, s.program("initdb"), "-D", s.data, "-U", "virtpki", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
	s.Restart(t)
	return s
}

// program gives the path of one of PostgreSQL's programs.
func (s *PostgreSQL) program(name string) string {
	if s.bin == "." {
		return name
	}
	return filepath.Join(s.bin, name)
}

// Restart starts the server again after Stop, with the same data. The processes that served connections of a killed server
// outlive it for a moment, in which another one refuses to start.
func (s *PostgreSQL) Restart(t testing.TB) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		// Without fsync: what a killed server has written is there all the same, and tests pull no plug.
		s.Process = s.place.Start(t, s.program("postgres"), "-D", s.data, "-k", s.run, "-c", "listen_addresses=", "-c", "max_connections=200", "-c", "fsync=off")
		for time.Now().Before(end) {
			if s.WaitLog("database system is ready to accept connections", 200*time.Millisecond) {
				return
			}
			if strings.Contains(s.Log(), "is still in use") {
				s.Stop()
				break
			}
		}
	}
	t.Fatalf("PostgreSQL does not come up:\n%s", s.Log())
}

// Database makes a database and gives its URL.
func (s *PostgreSQL) Database(t testing.TB, name string) string {
	t.Helper()
	s.SQL(t, "postgres", fmt.Sprintf("CREATE DATABASE %q", name))
	return s.URL(name)
}

// URL gives the URL of a database.
func (s *PostgreSQL) URL(name string) string {
	return (&url.URL{Scheme: "postgres", User: url.User("virtpki"), Path: "/" + name, RawQuery: "host=" + s.run}).String()
}

// SQL runs a statement with psql, which has to succeed, and gives what it prints, columns separated by "|".
func (s *PostgreSQL) SQL(t testing.TB, database, statement string) string {
	t.Helper()
	return strings.TrimSpace(s.place.Must(t, s.program("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", s.run, "-U", "virtpki", "-d", database, "-c", statement))
}
