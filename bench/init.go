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
	const rounds = 3
	var a, b []time.Duration
	for range rounds {
		ta, err := s.ourInit(s.small)
		if err != nil {
			return 0, 0, err
		}
		tb, err := s.theirInit(s.small)
		if err != nil {
			return 0, 0, err
		}
		a, b = append(a, ta), append(b, tb)
	}
	ours, theirs = median(a), median(b)
	fmt.Fprintf(stdout, "\ninit, ECDSA P-256, one server identity per host, 1 client, one tree per host\n")
	row := func(who string, hosts int, d time.Duration, note string) {
		fmt.Fprintf(stdout, "  %-17s  %5d hosts  %8.3f s  %7.2f ms/host  %s\n", who, hosts, d.Seconds(),
			d.Seconds()*1e3/float64(hosts), note)
	}
	row("virt-pki init", s.small, ours, fmt.Sprintf("median of %d", rounds))
	row("certtool loop", s.small, theirs, fmt.Sprintf("median of %d: %.1f times ours", rounds, theirs.Seconds()/ours.Seconds()))

	perHost := theirs / time.Duration(s.small)
	a = nil
	for range rounds {
		ta, err := s.ourInit(s.hosts)
		if err != nil {
			return 0, 0, err
		}
		a = append(a, ta)
	}
	ours, theirs = median(a), perHost*time.Duration(s.hosts)
	note := fmt.Sprintf("NOT measured: extrapolated from %d hosts; -full measures it", s.small)
	if s.full {
		if theirs, err = s.theirInit(s.hosts); err != nil {
			return 0, 0, err
		}
		note = "one run"
	}
	row("virt-pki init", s.hosts, ours, fmt.Sprintf("median of %d", rounds))
	row("certtool loop", s.hosts, theirs, note)
	return ours, theirs, nil
}

// ourInit makes the PKI with virt-pki, durable and with its proof by handshake, as everyone gets it.
func (s *session) ourInit(hosts int) (time.Duration, error) {
	out := filepath.Join(s.dir, "ours")
	args := []string{"init", "--out", out, "--client", "admin"}
	for i := range hosts {
		args = append(args, "--server", host(i))
	}
	t, _, err := timed(exec.Command(s.virtPKI, args...))
	if err == nil {
		err = holds(out, hosts)
	}
	if err == nil {
		err = os.RemoveAll(out)
	}
	return t, err
}

// theirInit makes it with the shell loop.
func (s *session) theirInit(hosts int) (time.Duration, error) {
	out := filepath.Join(s.dir, "theirs")
	t, _, err := timed(exec.Command("bash", "-c", certtoolLoop, "certtool-loop", out, strconv.Itoa(hosts)))
	if err == nil {
		err = holds(out, hosts)
	}
	if err == nil {
		err = os.RemoveAll(out)
	}
	return t, err
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
