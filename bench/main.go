// Bench compares virt-pki's speed with that of the programs it stands beside, whole processes, in one run on one machine,
// so that only ratios matter and the machine does not. See README.md.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A comparison measures one job done by both sides.
type comparison struct {
	name    string
	goal    float64 // the ratio to reach
	atMost  bool    // ours/theirs may be at most goal; else theirs/ours is to be at least goal
	peers   []string
	measure func(*session, io.Writer) (ours, theirs time.Duration, err error)
}

// A session is what the comparisons of one run share.
type session struct {
	virtPKI string // our binary
	dir     string // scratch
	runs    int    // of query-dn
	hosts   int    // of the large init
	small   int    // of the init that both sides do
	full    bool   // let certtool do all hosts, too
	trees   int    // made so far
}

var comparisons = []comparison{
	{"query-dn", 0.5, true, []string{"virt-pki-query-dn", "certtool"}, (*session).queryDN},
	{"gnutls", 2, true, []string{"gnutls-cli", "gnutls-serv", "certtool"}, (*session).gnutls},
	{"init", 20, false, []string{"certtool", "gnutls-serv", "gnutls-cli", "bash"}, (*session).init},
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run gives 0 when every goal is reached, 1 when one is missed, 2 for wrong usage, 3 when something could not be measured.
func run(args []string, stdout, stderr io.Writer) int {
	var s session
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&s.virtPKI, "virt-pki", "", "measure this `binary` (default: build ./cmd/virt-pki)")
	flags.IntVar(&s.runs, "runs", 100, "`runs` of query-dn and gnutls on each side")
	flags.IntVar(&s.hosts, "hosts", 500, "`hosts` of the large init, ours only unless -full")
	flags.IntVar(&s.small, "small", 50, "`hosts` of the init that both sides do")
	flags.BoolVar(&s.full, "full", false, "let the certtool loop do all hosts, too, instead of extrapolating")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 1 || s.runs < 1 || s.hosts < 1 || s.small < 1 {
		fmt.Fprintln(stderr, "bench: at most one argument, query-dn, gnutls or init; counts are positive")
		return 2
	}
	status := 0
	if err := s.prepare(); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		status = 3
	} else {
		status = s.compare(flags.Arg(0), stdout, stderr)
	}
	if err := os.RemoveAll(s.dir); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
	}
	return status
}

// compare makes the comparisons, or the one that is named.
func (s *session) compare(only string, stdout, stderr io.Writer) int {
	fmt.Fprintf(stdout, "%s/%s, %d CPUs; whole processes, medians, both sides in turn\n", runtime.GOOS, runtime.GOARCH,
		runtime.NumCPU())
	status, done := 0, 0
	for _, c := range comparisons {
		if only != "" && c.name != only {
			continue
		}
		done++
		ours, theirs, err := c.try(s, stdout)
		if err != nil {
			fmt.Fprintf(stderr, "bench: %s was not measured: %v\n", c.name, err)
			status = 3
			continue
		}
		line, reached := c.verdict(ours, theirs)
		fmt.Fprintln(stdout, line)
		if !reached && status == 0 {
			status = 1
		}
	}
	if done == 0 {
		fmt.Fprintf(stderr, "bench: no comparison %q: query-dn, gnutls or init\n", only)
		return 2
	}
	return status
}

// try measures, if the peers are there.
func (c comparison) try(s *session, stdout io.Writer) (ours, theirs time.Duration, err error) {
	for _, p := range c.peers {
		if _, err := exec.LookPath(p); err != nil {
			return 0, 0, fmt.Errorf("%s is not installed", p)
		}
	}
	return c.measure(s, stdout)
}

// verdict compares with the goal.
func (c comparison) verdict(ours, theirs time.Duration) (line string, reached bool) {
	ratio, kind := theirs.Seconds()/ours.Seconds(), "times faster, goal: at least"
	if c.atMost {
		ratio, kind = ours.Seconds()/theirs.Seconds(), "of the peer's time, goal: at most"
	}
	reached = ratio >= c.goal
	if c.atMost {
		reached = ratio <= c.goal
	}
	word := map[bool]string{true: "reached", false: "MISSED"}[reached]
	return fmt.Sprintf("%s: %.2f %s %g: %s", c.name, ratio, kind, c.goal, word), reached
}

// prepare makes the scratch directory and our binary, built as it is released.
func (s *session) prepare() error {
	var err error
	if s.dir, err = os.MkdirTemp("", "virt-pki-bench-"); err != nil {
		return err
	}
	if s.virtPKI != "" {
		s.virtPKI, err = filepath.Abs(s.virtPKI)
		return err
	}
	s.virtPKI = filepath.Join(s.dir, "virt-pki")
	return s.build(s.virtPKI, "./cmd/virt-pki")
}

// build builds a program of ours as it is released.
func (s *session) build(file, pkg string) error {
	top, err := output(exec.Command("go", "list", "-m", "-f", "{{.Dir}}"))
	if err != nil {
		return err
	}
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", file, pkg)
	build.Dir = strings.TrimSpace(top)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	_, err = output(build)
	return err
}

// output runs a program, which must succeed, with nothing on standard input.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		args := cmd.Args
		if len(args) > 6 {
			args = append(slices.Clone(args[:6]), "...")
		}
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// A cost is what a program's run took: on the clock, and of the processors, its children's share included. The second
// depends less on what else the machine does.
type cost struct{ wall, cpu time.Duration }

// timed gives the cost of a program's run.
func timed(cmd *exec.Cmd) (cost, string, error) {
	begin := time.Now()
	out, err := output(cmd)
	c := cost{wall: time.Since(begin)}
	if p := cmd.ProcessState; p != nil {
		c.cpu = p.UserTime() + p.SystemTime()
	}
	return c, out, err
}

// medians gives the two medians.
func medians(costs []cost) cost {
	var wall, cpu []time.Duration
	for _, c := range costs {
		wall, cpu = append(wall, c.wall), append(cpu, c.cpu)
	}
	return cost{median(wall), median(cpu)}
}

// median of an even number is the mean of the two in the middle.
func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
