package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/reload"
)

func (p *program) reloadCommand() *cli.Command {
	return &cli.Command{
		Name: "reload", Category: "live", Usage: "have this machine's daemon read its certificates again, and prove that it did",
		Description: `Decides from the daemon's configuration how it takes up new credentials: by "virt-admin
server-update-tls", which keeps connections and reads the default places only, whatever the
configuration names; or by a restart. Prints the command; with --run it is run, after a question on
a terminal. Then connects with TLS and compares the certificate that is served with the file.

A client that is in the middle of its handshake at the moment of server-update-tls can make
libvirtd use credentials that it has freed, and crash (libvirt 9.0.0, 11.3.0 and 12.8.0): choose a
quiet moment, and let systemd restart the daemon.

EXAMPLES
   virt-pki reload                                    says what to do, and what is served now
   virt-pki reload --run --yes
   virt-pki reload --conf /etc/libvirt/virtproxyd.conf --run
   virt-pki reload --connect kvm1.example.com:16514 --json

EXIT STATUS
   0 the daemon serves the certificate of the file   1 it serves another one
   2 wrong usage   3 could not complete`,
		Flags: append(reloadFlags(), dryRunFlag(), jsonFlag(), quietFlag()),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usage("reload takes no argument %s", quote(c.Args().First())).hint("virt-pki reload --conf FILE")
			}
			return p.reload(c)
		},
	}
}

// reloadFlags say which daemon is meant and how it is reached.
func reloadFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "conf", Aliases: []string{"c"}, Usage: "`FILE`: the daemon's configuration", DefaultText: "/etc/libvirt/libvirtd.conf, or virtproxyd.conf where only that exists"},
		&cli.StringFlag{Name: "connect", Usage: "`HOST:PORT`: where the daemon serves TLS", DefaultText: "listen_addr and tls_port of the configuration"},
		&cli.StringFlag{Name: "admin-uri", Usage: "`URI`: of the daemon's admin socket, for virt-admin", DefaultText: "libvirtd:///system, virtproxyd:///system"},
		&cli.BoolFlag{Name: "run", Usage: "run the command"},
		&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do not ask before --run"},
		&cli.DurationFlag{Name: "timeout", Value: 10 * time.Second, Usage: "`TIME`: limit of the command and of the connection"},
	}
}

// A reloadView is the answer of reload.
type reloadView struct {
	Schema  int      `json:"schema"`
	Conf    *string  `json:"conf"`
	Way     string   `json:"way"`
	Why     string   `json:"why"`
	Command []string `json:"command"`
	Ran     bool     `json:"ran"`
	Files   []string `json:"files"`
	CRL     *string  `json:"crl"`
	Notes   []string `json:"notes"`
	Address string   `json:"address"`
	// Served is what the daemon shows; null when it was not asked (--dry-run).
	Served *servedView `json:"served"`
	// Current says that it is the certificate of a file; Problem says why not.
	Current bool     `json:"current"`
	Problem *string  `json:"problem"`
	Hints   []string `json:"hints"`
}

type servedView struct {
	Serial   string    `json:"serial"`
	DN       string    `json:"dn"`
	NotAfter time.Time `json:"not_after"`
	File     *string   `json:"file"`
}

// daemonOf reads the daemon's configuration and plans its reload. name is the file, empty where there is none.
func (p *program) daemonOf(c *cli.Context) (plan reload.Plan, daemon *conf.Daemon, name, address string, err error) {
	name = c.String("conf")
	candidates := []string{name}
	if name == "" {
		candidates = []string{"/etc/libvirt/libvirtd.conf", "/etc/libvirt/virtproxyd.conf"}
		if os.Geteuid() != 0 {
			dir := p.getenv("XDG_CONFIG_HOME")
			if dir == "" {
				dir = p.getenv("HOME") + "/.config"
			}
			candidates = []string{dir + "/libvirt/libvirtd.conf", dir + "/libvirt/virtproxyd.conf"}
		}
	}
	kind := conf.Libvirtd
	var text []byte
	found := ""
	for _, candidate := range candidates {
		text, err = os.ReadFile(candidate)
		if err == nil {
			found = candidate
			if k := conf.KindOf(candidate); k == conf.Virtproxyd {
				kind = k
			}
			break
		}
		if name != "" || !errors.Is(err, fs.ErrNotExist) {
			return plan, nil, candidate, "", &fileError{candidate, "reading the configuration", err}
		}
	}
	run := conf.Run{Session: os.Geteuid() != 0, Listen: true}
	f, err := conf.Parse(text, candidates[0])
	if found != "" {
		f, err = conf.Parse(text, found)
	}
	if err == nil {
		daemon, err = conf.ReadDaemon(f, kind, run)
	}
	if err != nil {
		return plan, nil, found, "", fmt.Errorf("the daemon would not start with this configuration: %w", err)
	}
	places := []layout.Place{{Kind: layout.Libvirt}}
	if home := p.getenv("HOME"); run.Session && home != "" {
		places = []layout.Place{{Kind: layout.User, Dir: home}, {Kind: layout.Libvirt}}
	}
	plan, err = reload.Decide(daemon, c.String("admin-uri"), places, func(path string) bool { _, err := os.Lstat(path); return err == nil })
	if err != nil {
		return plan, daemon, found, "", err
	}
	if address = c.String("connect"); address == "" {
		host := "localhost"
		if daemon.ListenAddr != nil && *daemon.ListenAddr != "" && *daemon.ListenAddr != "0.0.0.0" && *daemon.ListenAddr != "::" {
			host = *daemon.ListenAddr
		}
		address = net.JoinHostPort(host, daemon.TLSPort)
	} else if _, _, err := net.SplitHostPort(address); err != nil {
		address = net.JoinHostPort(strings.Trim(address, "[]"), daemon.TLSPort)
	}
	return plan, daemon, found, address, nil
}

func (p *program) reload(c *cli.Context) error {
	plan, _, name, address, err := p.daemonOf(c)
	if err != nil {
		return err
	}
	v := reloadView{Schema: 1, Conf: optional(name), Way: string(plan.Way), Why: plan.Why, Command: plan.Command, Files: plan.Certs, CRL: optional(plan.CRL),
		Notes: plan.Notes, Address: address, Hints: []string{}}
	if v.Command == nil {
		v.Command = []string{}
	}
	if v.Notes == nil {
		v.Notes = []string{}
	}
	dry := c.Bool("dry-run")
	if !dry && c.Bool("run") {
		if err := p.runReload(c, plan); err != nil {
			return err
		}
		v.Ran = true
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout")) // not counting how long somebody thought
	defer cancel()
	if !dry {
		if err := p.compareServed(ctx, plan, &v); err != nil {
			return err
		}
	}
	if err := p.show(c, v, func() { p.printReload(v) }); err != nil {
		return err
	}
	if !dry && !v.Current {
		if !c.Bool("json") {
			fmt.Fprintf(p.stderr, "virt-pki: error: %s\n", *v.Problem)
			for _, h := range v.Hints {
				p.hint("%s", h)
			}
		}
		return status(exitFindings)
	}
	return nil
}

// runReload runs the command of a reload, after a question.
func (p *program) runReload(c *cli.Context, plan reload.Plan) error {
	if len(plan.Command) == 0 {
		return &hintedError{errors.New("a session daemon with files of its own: how it is started is not known"), []string{"stop and start it yourself, then: virt-pki reload"}}
	}
	if err := p.agree(c, "run "+shellWords(plan.Command)+"?",
		usage("nobody can be asked here whether to run %s", strings.Join(plan.Command, " ")).hint("run it without a question: --run --yes")); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, c.Duration("timeout"))
	defer cancel()
	return runCommand(ctx, plan)
}

// runCommand runs the command of a reload.
func runCommand(ctx context.Context, plan reload.Plan) error {
	cmd := exec.CommandContext(ctx, plan.Command[0], plan.Command[1:]...)
	cmd.Env = environmentOfOthers(os.Environ())
	out, err := cmd.CombinedOutput()
	if err != nil {
		said := strings.TrimSpace(string(out))
		e := &hintedError{fmt.Errorf("running %s: %w", shellWords(plan.Command), err), nil}
		if said != "" {
			e.err = fmt.Errorf("running %s: %w: %s", shellWords(plan.Command), err, visible(strings.ReplaceAll(said, "\n", "; ")))
		}
		if plan.Way == reload.UpdateTLS {
			e.hints = []string{"the daemon has kept its old credentials; what is wrong with the new ones: virt-pki check"}
		}
		return e
	}
	return nil
}

// shellWords gives a command as it is typed.
func shellWords(words []string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = shellQuote(w)
	}
	return strings.Join(quoted, " ")
}

// compareServed asks the daemon for its certificate, and says why it is not that of the file.
func (p *program) compareServed(ctx context.Context, plan reload.Plan, v *reloadView) error {
	conn, err := p.dialUntil(ctx, v.Address, v.Ran && plan.Way == reload.Restart)
	if err != nil {
		return &hintedError{fmt.Errorf("connecting to the daemon at %s: %w", v.Address, err), []string{"where it listens: --connect HOST:PORT; whether it would start: virt-pki preflight"}}
	}
	served, err := reload.WhatIsServed(ctx, conn, plan.Certs, func(name string) ([]byte, error) { return p.read("the certificate", name) })
	if err != nil {
		return err
	}
	leaf := served.Chain[0]
	v.Served = &servedView{Serial: leaf.SerialHex(), NotAfter: leaf.NotAfter, File: optional(served.File)}
	v.Served.DN, _ = leaf.Subject.Text()
	if v.Current = served.Current(); v.Current {
		return nil
	}
	problem := fmt.Sprintf("the daemon at %s serves another certificate than that of %s: serial %s, until %s", v.Address, list(plan.Certs), v.Served.Serial, date(leaf.NotAfter))
	elsewhere := plan.Defaults.Cert
	switch text, err := p.readFile(elsewhere); {
	case plan.Way == reload.Restart && err == nil && sameLeaf(text, leaf):
		problem += "; it is that of " + elsewhere + ": server-update-tls was used, which reads the default places whatever the configuration names"
		v.Hints = append(v.Hints, shellWords(plan.Command))
	case v.Ran && plan.Way == reload.UpdateTLS:
		problem += "; it was told to read its files: it is another daemon that listens there, or one with another configuration"
		v.Hints = append(v.Hints, "which configuration it has: ps -o args= -C libvirtd,virtproxyd; then --conf FILE")
	default:
		problem += "; it has not read the files since they were replaced"
		if len(plan.Command) > 0 {
			v.Hints = append(v.Hints, shellWords(plan.Command))
		}
	}
	v.Problem = &problem
	return nil
}

// sameLeaf reports whether a file's certificate is this one.
func sameLeaf(text []byte, leaf *certs.Certificate) bool {
	c, err := certs.ImportPEM(text)
	return err == nil && slices.Equal(c.Raw, leaf.Raw)
}

// dialUntil connects; to a daemon that is starting again and again.
func (p *program) dialUntil(ctx context.Context, address string, patient bool) (net.Conn, error) {
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err == nil || !patient || ctx.Err() != nil {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (p *program) printReload(v reloadView) {
	w := p.stdout
	switch {
	case v.Ran:
		fmt.Fprintf(w, "ran     %s\n", shellWords(v.Command))
	case len(v.Command) > 0:
		fmt.Fprintf(w, "reload  %s\n", shellWords(v.Command))
	default:
		fmt.Fprintf(w, "reload  stop the session daemon and start it again\n")
	}
	fmt.Fprintf(w, "why     %s\n", v.Why)
	for _, n := range v.Notes {
		fmt.Fprintf(w, "note    %s\n", n)
	}
	if v.Served != nil && v.Current {
		fmt.Fprintf(w, "served  %s, serial %s, until %s: the certificate of %s\n", visible(v.Served.DN), v.Served.Serial, date(v.Served.NotAfter), *v.Served.File)
	}
}
