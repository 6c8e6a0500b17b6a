package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/bundle"
	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/preflight"
	"github.com/virt-pki/virt-pki/pkg/unit"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A host is the daemon's machine, as far as it can be looked at: this one, or a tree that stands for one.
type host struct {
	root string // empty: this machine
	tree *unit.Tree
	// collected is the bundle that root is; nil: it is a tree.
	collected *bundle.Host
	// looked says that it is looked at how the daemon is run there.
	looked bool
	// user is whose daemon it is, with --session; nil: it is root's.
	user *unit.User
	// survey says how systemd runs the daemons; nil: that is not looked at, or there is no systemd.
	survey *unit.Survey
	// unchecked says what of it could not be found out.
	unchecked []string

	mu sync.Mutex
	// closed is the first of the daemon's files that this user may not read.
	closed string
}

// watch notes which of the daemon's files this user may not read: root, who runs the daemon, may.
func (h *host) watch(d *preflight.Daemon) {
	read := d.ReadFile
	d.ReadFile = func(name string) ([]byte, error) {
		b, err := read(name)
		if errors.Is(err, fs.ErrPermission) {
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.closed == "" {
				h.closed = h.below(name)
			}
		}
		return b, err
	}
}

// denied is what watch noted.
func (h *host) denied() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// below gives the name by which a file of the machine is reached from here.
func (h *host) below(name string) string {
	if h.root == "" || h.collected != nil {
		return name
	}
	return filepath.Join(h.root, name)
}

// read reads a file of a tree, through links as its machine would follow them, never out of the tree.
func (h *host) read(name string) ([]byte, error) { return h.tree.ReadFile(name) }

// openHost opens the machine below a root, or in a bundle; an empty root is this machine.
func openHost(root string) (*host, error) {
	h := &host{root: root}
	var err error
	if h.collected, err = bundle.Recognise(root); err != nil {
		return nil, err
	}
	switch {
	case root == "":
		h.tree = unit.New(os.DirFS("/"))
	case h.collected != nil:
		h.tree = unitsOf(h.collected)
	default:
		r, err := os.OpenRoot(root)
		if err != nil {
			return nil, &readError{"the tree", root, err}
		}
		h.tree = unit.New(r.FS())
	}
	return h, nil
}

// preflightHost looks at the machine that --root names, or at this one. With a configuration that is given explicitly and no
// tree, and with options that say how the daemon is run, its units are not read.
func (p *program) preflightHost(c *cli.Context) (*host, error) {
	h, err := openHost(c.String("root"))
	if err != nil {
		return nil, err
	}
	if c.Bool("session") {
		u := p.sessionUser(h.root != "")
		h.user, h.tree = &u, unit.NewUser(h.tree.FS(), u)
	}
	said := c.Bool("no-listen") || c.Bool("socket-activated")
	if h.looked = !said && (h.root != "" || c.String("conf") == ""); !h.looked || !h.tree.HasUnits() {
		return h, nil
	}
	var running []unit.Running
	show, runs := []string{"systemctl", "show"}, "/run/systemd/system"
	if h.user != nil {
		show, runs = []string{"systemctl", "--user", "show"}, h.user.Runtime+"/systemd/private"
	}
	if h.root == "" && h.tree.Exists(runs) {
		out, err := p.outputOf(c.Context, append(append(show, "--no-pager",
			"--property="+strings.Join(unit.ShowProperties(), ",")), unit.ShowUnits()...)...)
		if err != nil {
			h.unchecked = append(h.unchecked, "what systemd runs now: "+err.Error())
		}
		running = unit.ParseShow(out)
	}
	if s := h.tree.Survey(running); len(s.Daemons) > 0 {
		h.survey = s
	}
	return h, nil
}

// sessionUser says where the units of this user are; in another machine's tree that is below the same home directory.
func (p *program) sessionUser(elsewhere bool) unit.User {
	u := unit.User{Home: p.home(), Name: p.getenv("USER")}
	if !elsewhere {
		u.Config, u.Data, u.Runtime = p.getenv("XDG_CONFIG_HOME"), p.getenv("XDG_DATA_HOME"), p.getenv("XDG_RUNTIME_DIR")
	}
	return u
}

// confDir is where the daemon looks for its configuration.
func (h *host) confDir() string {
	switch {
	case h.user == nil:
		return "/etc/libvirt"
	case h.user.Config != "":
		return h.user.Config + "/libvirt"
	}
	return h.user.Home + "/.config/libvirt"
}

// commandPatience bounds the programs that are asked about this machine.
const commandPatience = 5 * time.Second

// outputOf runs a program to its end and gives what it prints.
func (p *program) outputOf(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, commandPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(environmentOfOthers(os.Environ()), "LC_ALL=C", "TZ=UTC", "SYSTEMD_COLORS=0")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	var ee *exec.ExitError
	switch {
	case ctx.Err() != nil:
		err = fmt.Errorf("%s does not answer", args[0])
	case errors.As(err, &ee):
		text, _, _ := strings.Cut(strings.TrimSpace(string(ee.Stderr)), "\n")
		err = fmt.Errorf("%s ends with exit status %d: %s", args[0], ee.ExitCode(), text)
	}
	return out, err
}

// configuration finds the daemon's configuration: the one that --conf names, else that of the daemon that does TLS there.
func (p *program) configuration(c *cli.Context, h *host, d *preflight.Daemon) (err error) {
	name, program := c.String("conf"), c.String("for")
	var runs *unit.Daemon
	if h.survey != nil {
		if runs = h.survey.Remote(); program != "" {
			runs = h.survey.Daemon(program)
		}
	}
	read := func(name string) ([]byte, error) { return p.readFile(name) }
	if h.root != "" {
		read = h.read
	}
	switch {
	case name != "":
		d.Conf, err = p.readFile(name)
	case runs != nil:
		program = runs.Name
		own := h.confDir() + "/" + runs.Name + ".conf"
		if runs.Arguments.Configured {
			own = runs.Arguments.Config
		}
		name = h.below(own)
		if d.Conf, err = read(own); err != nil && runs.Arguments.Configured {
			d.ConfErr, err = err, nil
		} else if errors.Is(err, fs.ErrNotExist) {
			d.Conf, err = nil, nil // the daemon goes on with its defaults
		}
	default:
		name, d.Conf, err = hostConf(program, h, read)
	}
	if err != nil {
		return fmt.Errorf("reading the daemon's configuration: %w", err)
	}
	d.ConfFile = name
	if d.Kind, err = confKind(program, name, d.Conf); err != nil {
		return err
	}
	if d.Kind == conf.Other {
		d.Kind = conf.Libvirtd
	}
	return nil
}

// running hands over how systemd runs the daemon and who has its ports.
func (h *host) running(d *preflight.Daemon) {
	if h.survey == nil {
		if a, file, err := h.tree.OpenRC(d.Kind.String()); h.looked && file != "" && err == nil {
			d.Run.Listen = a.Listen
		}
		return
	}
	if h.survey.Daemon(d.Kind.String()) == nil {
		return
	}
	d.Units, d.Shown = h.survey, h.below
	if h.root == "" {
		ports, err := preflight.ReadListening(os.DirFS("/proc"))
		if err != nil {
			h.unchecked = append(h.unchecked, "which ports are taken: "+err.Error())
		}
		d.Ports = ports
	}
}

// around gives findings about what surrounds the daemon on its machine: labels of its files, configurations of other daemons, firewalls.
func (p *program) around(h *host, d preflight.Daemon, s *preflight.Server) (out []finding.Finding, unchecked []string) {
	out, unchecked = h.labels(s.Files())
	if d.Units == nil {
		return out, unchecked
	}
	for _, n := range h.tree.Glob(h.confDir() + "/*.conf") {
		k := conf.KindOf(n)
		if k == d.Kind || !k.Daemon() {
			continue
		}
		if text, err := h.tree.ReadFile(n); err == nil {
			out = append(out, preflight.OtherDaemon(text, h.below(n), d.Kind, d.ConfFile)...)
		}
	}
	if h.root == "" {
		out = append(out, s.Stale(func(name string) time.Time {
			st, err := os.Stat(name)
			if err != nil {
				return time.Time{}
			}
			return st.ModTime()
		})...)
	}
	if port := s.TLSPort(); s.Starts && s.ListensTLS && port != 0 {
		out = append(out, preflight.Firewall(h.tree, port, h.below)...)
	}
	return out, unchecked
}

// labels compares the SELinux labels of the daemon's files with the policy of its machine.
func (h *host) labels(files []string) (found []finding.Finding, unchecked []string) {
	var l *layout.Labels
	if h.collected != nil && h.collected.Manifest != nil {
		l = h.collected.Labels()
	} else {
		var err error
		if l, err = labelsOf(cmp.Or(h.root, "/")); err != nil {
			unchecked = append(unchecked, "the SELinux labels: "+err.Error())
		}
	}
	if l == nil {
		return nil, unchecked
	}
	found, more := layout.FileLabels(h.tree.FS(), files, *l, h.below)
	return found, append(unchecked, more...)
}

const autoVersion = "auto"

// preflightVersions reads --libvirt: several versions, or what is installed on the daemon's machine. Without it that is
// tried, too, where the machine's own configuration is judged.
func (p *program) preflightVersions(c *cli.Context, h *host) ([]verify.Version, error) {
	s := c.String("libvirt")
	switch {
	case s == autoVersion:
		v, err := p.autoLibvirt(c.Context, h)
		return []verify.Version{v}, err
	case s != "":
		return versions(c)
	case c.String("conf") == "":
		if v, err := p.installedVersion(c.Context, h); err == nil {
			return []verify.Version{v}, nil
		}
	}
	return []verify.Version{verify.Oldest}, nil
}

// autoLibvirt is what --libvirt auto means on a machine.
func (p *program) autoLibvirt(ctx context.Context, h *host) (verify.Version, error) {
	v, err := p.installedVersion(ctx, h)
	if err != nil {
		return v, usage("--libvirt auto: %s", err).hint("say which: --libvirt 9.0")
	}
	return v, nil
}

// checkVersions reads --libvirt for files that lie in a directory: auto is the version that is installed on the machine that
// the directory or bundle stands for, or on this one where it is only a directory with certificates.
func (p *program) checkVersions(c *cli.Context, dir string) ([]verify.Version, error) {
	if c.String("libvirt") != autoVersion {
		return versions(c)
	}
	if collected, err := bundle.Recognise(dir); err == nil && collected == nil && !exists(filepath.Join(dir, "etc")) {
		dir = ""
	}
	h, err := openHost(dir)
	if err != nil {
		return nil, err
	}
	v, err := p.autoLibvirt(c.Context, h)
	return []verify.Version{v}, err
}

var (
	libraryName  = regexp.MustCompile(`^libvirt\.so\.0\.(\d+)\.(\d+)$`)
	printedAfter = regexp.MustCompile(`\(libvirt\) (\d+\.\d+\.\d+)`)
)

// installedVersion finds out the version of the libvirt that is installed: from Debian's packages, whose version says more than
// the number, from the library's file name, from what the daemon of this machine prints.
func (p *program) installedVersion(ctx context.Context, h *host) (verify.Version, error) {
	if h.collected != nil && h.collected.Manifest.Libvirt != "" {
		return verify.ParseVersion(h.collected.Manifest.Libvirt)
	}
	if b, err := h.tree.ReadFile("/var/lib/dpkg/status"); err == nil {
		for _, name := range []string{"libvirt-daemon", "libvirt-daemon-common", "libvirt0"} {
			if s := debianVersion(string(b), name); s != "" {
				return verify.ParseVersion(s)
			}
		}
	}
	for _, pattern := range []string{"/usr/lib64", "/usr/lib", "/usr/lib/*-linux-gnu*", "/usr/local/lib", "/usr/local/lib64"} {
		for _, dir := range append([]string{pattern}, h.tree.Glob(pattern)...) {
			for _, n := range h.tree.Glob(dir + "/libvirt.so.0.*") {
				if m := libraryName.FindStringSubmatch(filepath.Base(n)); m != nil {
					version, _ := strconv.Atoi(m[1])
					return verify.ParseVersion(fmt.Sprintf("%d.%d.%s", version/1000, version%1000, m[2]))
				}
			}
		}
	}
	if h.root == "" {
		for _, program := range []string{"/usr/sbin/libvirtd", "/usr/sbin/virtproxyd", "libvirtd"} {
			out, err := p.outputOf(ctx, program, "--version")
			if m := printedAfter.FindSubmatch(out); err == nil && m != nil {
				return verify.ParseVersion(string(m[1]))
			}
		}
	}
	where := "on this machine"
	if h.root != "" {
		where = "in " + quote(h.root)
	}
	return verify.Version{}, fmt.Errorf("no libvirt is to be found %s", where)
}

// debianVersion finds the version of an installed package in dpkg's list.
func debianVersion(status, name string) string {
	_, rest, ok := strings.Cut("\n"+status, "\nPackage: "+name+"\n")
	if !ok {
		return ""
	}
	paragraph, _, _ := strings.Cut(rest, "\n\n")
	installed, version := false, ""
	for line := range strings.Lines(paragraph) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		switch key {
		case "Status":
			installed = slices.Contains(strings.Fields(value), "installed")
		case "Version":
			version = value
		}
	}
	if !installed {
		return ""
	}
	if _, after, epoch := strings.Cut(version, ":"); epoch {
		version = after
	}
	return version
}
