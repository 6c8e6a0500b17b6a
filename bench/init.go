package main

import (
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

//go:embed certtool-loop.sh
var certtoolLoop string

// init compares a new cluster's PKI: an authority, a server identity for each host, one client, one tree per host. Both
// sides do a small number of hosts; ours also does the large one, for which the loop's time is extrapolated (it is as
// many processes per host) unless -full.
func (s *session) init(stdout io.Writer) (ours, theirs time.Duration, err error) {
	const rounds = 5
	fmt.Fprintf(stdout, "\ninit, ECDSA P-256, one server identity per host, 1 client, one tree per host\n")
	row := func(who string, hosts int, c cost, note string) {
		fmt.Fprintf(stdout, "  %-13s  %5d hosts  %8.3f s  %7.2f ms/host  (CPU %.2f ms/host)  %s\n", who, hosts, c.wall.Seconds(),
			c.wall.Seconds()*1e3/float64(hosts), c.cpu.Seconds()*1e3/float64(hosts), note)
	}
	var small, large, loop []cost
	for range rounds {
		for _, side := range []struct {
			costs *[]cost
			make  func(int) (cost, error)
			hosts int
		}{{&small, s.ourInit, s.small}, {&loop, s.theirInit, s.small}, {&large, s.ourInit, s.hosts}} {
			c, err := side.make(side.hosts)
			if err != nil {
				return 0, 0, err
			}
			*side.costs = append(*side.costs, c)
		}
	}
	a, b, c := medians(small), medians(loop), medians(large)
	row("virt-pki init", s.small, a, fmt.Sprintf("median of %d", rounds))
	row("certtool loop", s.small, b, fmt.Sprintf("median of %d: %.1f times ours", rounds, b.wall.Seconds()/a.wall.Seconds()))
	row("virt-pki init", s.hosts, c, fmt.Sprintf("median of %d", rounds))
	n := time.Duration(s.hosts)
	all, note := cost{b.wall / time.Duration(s.small) * n, b.cpu / time.Duration(s.small) * n},
		fmt.Sprintf("NOT measured: extrapolated from %d hosts; -full measures it", s.small)
	if s.full {
		if all, err = s.theirInit(s.hosts); err != nil {
			return 0, 0, err
		}
		note = "one run"
	}
	row("certtool loop", s.hosts, all, note)
	return c.wall, all.wall, nil
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

// theirInit makes it with the shell loop.
func (s *session) theirInit(hosts int) (cost, error) {
	out := s.tree()
	t, _, err := timed(exec.Command("bash", "-c", certtoolLoop, "certtool-loop", out, strconv.Itoa(hosts)))
	if err == nil {
		err = holds(out, hosts)
	}
	return t, err
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
