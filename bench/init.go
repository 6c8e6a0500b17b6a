package main

import (
	_ "embed"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

//go:embed certtool-loop.sh
var certtoolLoop string

// init compares a new cluster's PKI: an authority, a server identity for each host, one client, one tree per host, every
// host proved by a handshake with the client, all of it synced. What the loop takes to make the files alone, which is not
// the same work, is printed too. Both sides do a small number of hosts; ours also does the large one, for which the
// loop's time is extrapolated (it is as many processes per host) unless -full.
func (s *session) init(stdout io.Writer) (ours, theirs time.Duration, err error) {
	const rounds = 5
	fmt.Fprintf(stdout, "\ninit, ECDSA P-256, one server identity per host, 1 client, one tree per host\n")
	row := func(who string, hosts int, c cost, note string) {
		fmt.Fprintf(stdout, "  %-26s  %5d hosts  %8.3f s  %7.2f ms/host  (CPU %.2f ms/host)  %s\n", who, hosts, c.wall.Seconds(),
			c.wall.Seconds()*1e3/float64(hosts), c.cpu.Seconds()*1e3/float64(hosts), note)
	}
	var small, large, made, proved []cost
	for range rounds {
		for _, side := range []struct {
			costs *[]cost
			make  func(int) (cost, error)
			hosts int
		}{{&small, s.ourInit, s.small}, {&made, s.theirFiles, s.small}, {&proved, s.theirInit, s.small}, {&large, s.ourInit, s.hosts}} {
			c, err := side.make(side.hosts)
			if err != nil {
				return 0, 0, err
			}
			*side.costs = append(*side.costs, c)
		}
	}
	times := func(n int, loop, our cost) string {
		return fmt.Sprintf("median of %d: %.1f times ours", n, loop.wall.Seconds()/our.wall.Seconds())
	}
	a, b, bare, c := medians(small), medians(proved), medians(made), medians(large)
	row("virt-pki init", s.small, a, fmt.Sprintf("median of %d", rounds))
	row("certtool loop, proved", s.small, b, times(rounds, b, a))
	row("certtool loop, files alone", s.small, bare, times(rounds, bare, a))
	row("virt-pki init", s.hosts, c, fmt.Sprintf("median of %d", rounds))
	for _, loop := range []struct {
		who  string
		cost *cost
		make func(int) (cost, error)
	}{{"certtool loop, proved", &b, s.theirInit}, {"certtool loop, files alone", &bare, s.theirFiles}} {
		n := time.Duration(s.hosts)
		all, note := cost{loop.cost.wall / time.Duration(s.small) * n, loop.cost.cpu / time.Duration(s.small) * n},
			fmt.Sprintf("NOT measured: extrapolated from %d hosts; -full measures it", s.small)
		if s.full {
			if all, err = loop.make(s.hosts); err != nil {
				return 0, 0, err
			}
			note = times(1, all, c)
		}
		*loop.cost = all
		row(loop.who, s.hosts, all, note)
	}
	return c.wall, b.wall, nil
}

// ourInit makes the PKI with virt-pki, durable and with its proof by handshake, as everyone gets it.
func (s *session) ourInit(hosts int) (cost, error) {
	out := s.tree()
	args := []string{"init", "--out", out, "--client", "admin"}
	for i := range hosts {
		args = append(args, "--server", host(i))
	}
	t, _, err := timed(exec.Command(s.virtPKI, args...))
	if err == nil {
		err = holds(out, hosts)
	}
	return t, err
}

// theirInit makes it with the shell loop, which proves and syncs it, too.
func (s *session) theirInit(hosts int) (cost, error) {
	port, err := freePort()
	if err != nil {
		return cost{}, err
	}
	return s.loop(hosts, strconv.Itoa(port))
}

// theirFiles has the shell loop make the files and no more.
func (s *session) theirFiles(hosts int) (cost, error) { return s.loop(hosts) }

func (s *session) loop(hosts int, more ...string) (cost, error) {
	out := s.tree()
	args := append([]string{"-c", certtoolLoop, "certtool-loop", out, strconv.Itoa(hosts)}, more...)
	t, _, err := timed(exec.Command("bash", args...))
	if err == nil {
		err = holds(out, hosts)
	}
	return t, err
}

// freePort gives a port of loopback that nobody listens on.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// tree gives a new name for what is made. What was made before stays there until the end: ext4 does not use an inode that
// was freed within the last minutes, and looking for others would be measured.
func (s *session) tree() string {
	s.trees++
	return filepath.Join(s.dir, "tree"+strconv.Itoa(s.trees))
}

// host gives the name of host i, as certtool-loop.sh does.
func host(i int) string { return fmt.Sprintf("kvm%d.example.com", i+1) }

// holds makes sure that the work was done: a certificate for every host, wherever in its tree.
func holds(out string, hosts int) error {
	found := 0
	err := filepath.WalkDir(out, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "servercert.pem" {
			found++
		}
		return err
	})
	if err == nil && found < hosts {
		err = fmt.Errorf("%d servercert.pem in %s, want %d", found, out, hosts)
	}
	return err
}
