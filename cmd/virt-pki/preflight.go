package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/preflight"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

func (p *program) preflightCommand() *cli.Command {
	return &cli.Command{
		Name:      "preflight",
		Category:  "judge",
		Usage:     "before TLS is switched on: will the daemon start, and each client connect",
		ArgsUsage: "[URI...]",
		Description: `Predicts what real libvirt does, without connecting to anything: judges the daemon's
configuration and files as its start does, then each client's URI, libvirt.conf and files,
makes a TLS handshake in memory with both sides' rules, and says outcome, cause, cure, and the
text that each side shows. The clients are this user with the given URIs, or the directories
given with --client. Without --conf the host's own daemon is judged as systemd runs it: units,
arguments, sockets, ports; with --root that of a tree. With --hosts all connections among many
hosts are judged, each with its own files: bundles of virt-pki collect, or trees as virt-pki
init --out makes them.

RULES
   both      the default: what libvirt does counts; where RFC 5280 says otherwise of a certificate
             that is shown, or at which libvirt stops, that is said too
   libvirt   libvirt alone
   rfc5280   the outcomes are libvirt's, and what RFC 5280 refuses is an error

EXAMPLES
   virt-pki preflight qemu://kvm1.example.com/system
   virt-pki preflight --conf ./virtproxyd.conf 'qemu://kvm1.example.com/system?pkipath=./alice'
   virt-pki preflight --root ./kvm1-tree --client ./alice --client ./bob --host kvm1.example.com
   virt-pki preflight --hosts ./bundles              every host to every host
   virt-pki preflight --libvirt 12.8 --format sarif qemu://kvm1/system > preflight.sarif

EXIT STATUS
   0 the daemon starts and all connect   1 not so, or findings at or above --fail-on
   2 wrong usage   3 something could not be judged`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "conf", Aliases: []string{"c"}, Usage: "`FILE`: the daemon's configuration", DefaultText: "that of the daemon which does TLS here, run as its units say"},
			&cli.StringSliceFlag{Name: "uri", Aliases: []string{"u"}, Usage: "a client's `URI`"},
			urisFlag(),
			&cli.StringSliceFlag{Name: "client", Usage: "a client's files in `DIR` (as for pkipath); needs --host"},
			&cli.StringSliceFlag{Name: "host", Usage: "a `NAME` by which the clients of --client call the daemon"},
			&cli.StringFlag{Name: "root", Usage: "the daemon's files and units are below `DIR`, which stands for its machine's /, or in a bundle of collect"},
			hostsFlag(),
			forFlag(),
			&cli.BoolFlag{Name: "session", Usage: "the daemon is run by an ordinary user (default: root for files in /etc, else as who calls)"},
			&cli.BoolFlag{Name: "system", Usage: "the daemon is run by root"},
			&cli.BoolFlag{Name: "no-listen", Usage: "libvirtd is run without --listen"},
			&cli.BoolFlag{Name: "socket-activated", Usage: "systemd passes the sockets, the -tls.socket among them"},
			&cli.BoolFlag{Name: "no-resolve", Usage: "do not look names up: every URI is taken to lead to this daemon's machine"},
			&cli.BoolFlag{Name: "readonly", Aliases: []string{"r"}, Usage: "as virsh -r: read-only connections"},
			&cli.StringFlag{Name: "libvirt", Usage: "`VERSION,...`: judge as these; \"auto\": the one that is installed", DefaultText: "auto, with --conf 9.0"},
			&cli.StringFlag{Name: "qemu", Usage: "with --hosts: the `VERSION` of QEMU that reads QEMU's directories, for migrations with TLS", DefaultText: "that of the host, or Debian's beside its libvirt"},
			&cli.StringFlag{Name: "client-libvirt", Usage: "the clients' libvirt `VERSION`, where it is another"},
			&cli.IntFlag{Name: "jobs", Aliases: []string{"j"}, Value: 0, Usage: "how many clients at a time (`N`; 0: as many as there are processors)"},
			&cli.StringFlag{Name: "system-config", Usage: "GnuTLS's system `FILE` for @KEYWORDs and overrides, of both ends", DefaultText: "those of the machines"},
			&cli.DurationFlag{Name: "timeout", Value: 3 * time.Second, Usage: "`TIME`: limit of the look-up of a name"},
			rulesFlag(), atFlag(), failOnFlag(), jsonFlag(), formatFlag(), quietFlag(), colorFlag(),
		}, engineFlags()...),
		Action: p.preflight,
	}
}

func (p *program) preflight(c *cli.Context) error {
	if c.IsSet("hosts") {
		return p.matrix(c)
	}
	if limit := c.Duration("timeout"); limit <= 0 {
		return usage("--timeout %s: it must be more than 0", limit)
	}
	if c.IsSet("qemu") {
		return usage("--qemu goes with --hosts: it is about migrations among them").hint("virt-pki check --qemu VERSION judges QEMU's directories")
	}
	level, paint, err := p.judging(c)
	if err != nil {
		return err
	}
	format, err := outputFormat(c)
	if err != nil {
		return err
	}
	uris, err := p.preflightURIs(c)
	if err != nil {
		return err
	}
	h, err := p.preflightHost(c)
	if err != nil {
		return err
	}
	libvirts, err := p.preflightVersions(c, h)
	if err != nil {
		return err
	}
	memory := &verify.Memory{}
	d, err := p.preflightDaemon(c, h, memory)
	if err != nil {
		return err
	}
	client, err := p.preflightClient(c, memory, d.At)
	if err != nil {
		return err
	}
	var v preflightView
	for i, libvirt := range libvirts {
		d.Libvirt = libvirt
		if c.String("client-libvirt") == "" {
			client.Libvirt = libvirt
		}
		d.GnuTLS.GnuTLS, client.GnuTLS.GnuTLS = handshake.GnuTLSOf(d.Libvirt), handshake.GnuTLSOf(client.Libvirt)
		one, err := p.predict(c, h, d, client, uris)
		if err != nil {
			return err
		}
		if i == 0 {
			v = one
			continue
		}
		v.compare(one)
	}
	if err := p.showAs(c, format, v, v.Findings, v.junit, func() { p.printPreflight(v, paint) }); err != nil {
		return err
	}
	unchecked := len(v.Unchecked) > 0
	failed := !v.Daemon.Starts || finding.Worst(v.Findings) >= level
	all := v.Connections
	for _, o := range v.Versions {
		failed = failed || !o.Daemon.Starts
		all = append(all[:len(all):len(all)], o.Connections...)
	}
	for _, a := range all {
		failed = failed || a.Outcome != finding.Connected
		unchecked = unchecked || len(a.Unchecked) > 0
	}
	switch {
	case failed:
		return status(exitFindings)
	case unchecked:
		return status(exitIncomplete)
	}
	return nil
}

// predict judges the daemon's start and all connections as one version.
func (p *program) predict(c *cli.Context, h *host, d preflight.Daemon, client preflight.Client, uris []string) (preflightView, error) {
	s := d.Start(c.Context)
	if name := h.denied(); name != "" && !s.Starts {
		return preflightView{}, &readError{"the daemon's file", name, fs.ErrPermission}
	}
	around, unchecked := p.around(h, d, s)
	v := preflightView{Schema: 1, Connections: make([]preflightAttempt, len(uris)), Findings: []finding.Finding{},
		Unchecked: slices.Concat(s.Unchecked, h.unchecked, unchecked), tally: map[finding.Outcome]int{}}
	v.Daemon = preflightDaemon{Starts: s.Starts, LibvirtMessage: optional(s.LibvirtMessage), Cause: optional(s.Cause),
		Program: d.Kind.String(), Libvirt: d.Libvirt.String(), Conf: d.ConfFile, Exit: s.Exit,
		ListensTLS: s.Starts && s.ListensTLS, ListensTCP: s.Starts && s.ListensTCP}
	if s.Starts && s.ListensTLS {
		v.Daemon.TLSPort = s.TLSPorts()
	}
	if d.Units != nil {
		v.Daemon.Run = runOf(d.Units.Daemon(d.Kind.String()))
	}
	if !s.Starts {
		v.Daemon.Log = s.LogLines
		if len(s.Findings) > 0 {
			v.Daemon.Remedy = s.Findings[0].Remedy
		}
	}
	if err := p.connectAll(c, s, uris, client, &v); err != nil {
		return v, err
	}
	return v, v.gather(s, around)
}

// preflightURIs lists the URIs: of the command line, of a file, of client directories.
func (p *program) preflightURIs(c *cli.Context) ([]string, error) {
	uris := append(c.StringSlice("uri"), c.Args().Slice()...)
	if name := c.String("file"); name != "" {
		more, err := p.urisOf(name)
		if err != nil {
			return nil, err
		}
		uris = append(uris, more...)
	}
	dirs, hosts := c.StringSlice("client"), c.StringSlice("host")
	if len(dirs) > 0 && len(hosts) == 0 {
		return nil, usage("--client needs --host: the name by which the clients call the daemon").
			hint("virt-pki preflight --client %s --host kvm1.example.com", shellQuote(dirs[0]))
	}
	for _, dir := range dirs {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		whole := "virt-pki preflight --hosts SERVER... CLIENT... judges whole machines: trees of init, bundles of collect"
		switch st, err := os.Stat(abs); {
		case err != nil:
			return nil, &readError{"the client's directory", dir, err}
		case !st.IsDir():
			return nil, usage("--client %s: not a directory", dir).hint("%s", whole)
		case exists(filepath.Join(abs, "etc")) && !exists(filepath.Join(abs, "cacert.pem")):
			return nil, usage("--client %s: a machine's tree, and no directory as for pkipath, with cacert.pem and clientcert.pem in it", dir).
				hint("%s", whole)
		}
		for _, h := range hosts {
			if strings.Contains(h, ":") && !strings.HasPrefix(h, "[") {
				h = "[" + h + "]"
			}
			uris = append(uris, "qemu+tls://"+h+"/system?pkipath="+(&url.URL{Path: abs}).EscapedPath())
		}
	}
	return uris, nil
}

// preflightDaemon describes the daemon.
func (p *program) preflightDaemon(c *cli.Context, h *host, memory *verify.Memory) (d preflight.Daemon, err error) {
	d.Memory = memory
	if d.Judge, err = judgeOf(c); err != nil {
		return d, err
	}
	if d.At, err = p.at(c); err != nil {
		return d, err
	}
	root := c.String("root")
	d.Machine = preflight.Machine{Home: p.home(), ConfigHome: p.getenv("XDG_CONFIG_HOME"), RuntimeDir: p.getenv("XDG_RUNTIME_DIR"),
		ReadFile: p.readRegular, Exists: exists, Real: realDir}
	switch {
	case h.collected != nil:
		b := h.collected
		d.ReadFile, d.Exists, d.Real, d.Withheld = b.ReadFile, b.Exists, b.Real, b.Withheld
		for _, u := range b.Unread() {
			h.unchecked = append(h.unchecked, "what could not be read when it was collected: "+u)
		}
	case root != "":
		d.ReadFile, d.Exists = h.read, h.tree.Exists
		d.Real = nil
	default:
		d.Own = ownAddress()
	}
	if !c.Bool("no-resolve") {
		d.Resolver = shortResolver{c.Duration("timeout")}
	}
	if err := p.gnutlsOf(c, &d.Machine, h); err != nil {
		return d, err
	}
	if err := p.configuration(c, h, &d); err != nil {
		return d, err
	}
	name := d.ConfFile
	if !d.Kind.Daemon() {
		return d, usage("%s is no daemon's configuration", name).hint("--conf takes libvirtd.conf or virtproxyd.conf; virt-pki conf judges the others")
	}
	abs, _ := filepath.Abs(name)
	switch {
	case c.Bool("session") && c.Bool("system"):
		return d, usage("--session and --system exclude each other")
	case c.Bool("session"):
	default:
		d.Root = os.Geteuid() == 0 || c.Bool("system") || root != "" || strings.HasPrefix(abs, "/etc/")
	}
	d.Run = conf.Run{Listen: !c.Bool("no-listen")}
	if root == "" {
		d.Run.GroupExists = groupExists
	}
	if c.Bool("socket-activated") {
		d.Run.Listen, d.Run.SocketActivated, d.Run.TLSSocket = false, true, true
	}
	if h.running(&d); d.Units != nil {
		d.Root = h.user == nil
	}
	if d.Root && os.Geteuid() != 0 {
		h.watch(&d)
	}
	return d, nil
}

// hostConf finds the configuration of a machine without units: that of the daemon that does TLS there.
func hostConf(program string, h *host, read func(name string) ([]byte, error)) (name string, text []byte, err error) {
	dir := h.confDir()
	names := []string{dir + "/libvirtd.conf", dir + "/virtproxyd.conf"}
	if program != "" {
		names = []string{dir + "/" + program + ".conf"}
	} else if h.tree.Exists("/usr/sbin/virtproxyd") && !h.tree.Exists("/usr/sbin/libvirtd") {
		names[0], names[1] = names[1], names[0]
	}
	for _, n := range names {
		if text, err = read(n); err == nil {
			return h.below(n), text, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", nil, err
		}
	}
	if program == "" {
		e := &hintedError{err: fmt.Errorf("there is neither %s nor %s", h.below(names[0]), h.below(names[1]))}
		if h.root != "" {
			e.hints = []string{"--conf FILE names the configuration; virt-pki preflight --hosts " + shellQuote(h.root) + " takes libvirt's defaults"}
		} else {
			e.hints = []string{"--conf FILE names the configuration; virt-pki conf template libvirtd makes one"}
		}
		return "", nil, e
	}
	return "", nil, err
}

// preflightClient describes the clients: this user.
func (p *program) preflightClient(c *cli.Context, memory *verify.Memory, at time.Time) (preflight.Client, error) {
	var version verify.Version // of the daemon, where nothing else is said; it is put in for each
	if s := c.String("client-libvirt"); s != "" {
		var err error
		if version, err = verify.ParseVersion(s); err != nil {
			return preflight.Client{}, usage("--client-libvirt: %s", err)
		}
	}
	o := p.callerOptions(c, version)
	client := preflight.Client{
		Machine: preflight.Machine{Root: o.Root, Home: o.Home, ConfigHome: o.ConfigHome, RuntimeDir: o.RuntimeDir, Libvirt: version,
			ReadFile: p.readRegular, Exists: exists},
		URI: o, At: at, Memory: memory, Agent: p.getenv("SSH_AUTH_SOCK") != "", SameMachine: c.String("root") == "",
		LoginHome: loginHome(), Terminal: isTerminal(p.stdin) && isTerminal(p.stderr),
		LookPath: func(name string) error { _, err := exec.LookPath(name); return err },
	}
	var err error
	if client.Engine, client.Program, err = p.engine(c); err != nil {
		return client, err
	}
	if err := p.gnutlsOf(c, &client.Machine, nil); err != nil {
		return client, err
	}
	if !c.Bool("no-resolve") {
		client.Resolver = shortResolver{c.Duration("timeout")}
	}
	return client, nil
}

// loginHome is the home directory of the passwd entry.
func loginHome() string {
	if u, err := user.Current(); err == nil {
		return u.HomeDir
	}
	return ""
}

// connectAll predicts the connections, several at a time, in the order of the URIs.
func (p *program) connectAll(c *cli.Context, s *preflight.Server, uris []string, client preflight.Client, v *preflightView) error {
	jobs := c.Int("jobs")
	if jobs <= 0 {
		jobs = processors()
	}
	show, clear := p.progress(c.Bool("quiet"))
	defer clear()
	next := make(chan int)
	var group sync.WaitGroup
	var mu sync.Mutex
	var failure error
	done := 0
	for range min(jobs, len(uris)) {
		group.Go(func() {
			for i := range next {
				r, err := s.Connect(c.Context, uris[i], client)
				mu.Lock()
				if err != nil && failure == nil {
					failure = err
				}
				v.Connections[i] = preflightAttempt{URI: r.URI, Outcome: r.Outcome, Cause: optional(r.Cause), LibvirtMessage: optional(r.LibvirtMessage),
					DaemonMessage: optional(r.DaemonMessage), Remedy: r.Remedy, TLS: r.TLS, Suite: r.Suite, Group: r.Group,
					Signature: r.Signature, Engine: r.Engine, Simulated: r.Simulated, RFC5280: opinionsOf(r.RFC5280), Unchecked: r.Unchecked, findings: r.Findings}
				done++
				n := done
				mu.Unlock()
				if show != nil {
					show("judged", n, len(uris))
				}
			}
		})
	}
feed:
	for i := range uris {
		select {
		case next <- i:
		case <-c.Context.Done():
			break feed
		}
	}
	close(next)
	group.Wait()
	if failure == nil {
		failure = c.Context.Err()
	}
	return failure
}

// readRegular reads a file for a verdict; a pipe must not hold us up.
func (p *program) readRegular(name string) ([]byte, error) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() && !st.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrInvalid}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readLimited(f, name) // of a directory: EISDIR, as libvirt gets it
}

func realDir(dir string) string {
	if r, err := filepath.EvalSymlinks(dir); err == nil {
		return r
	}
	return dir
}

// ownAddress tells this machine's addresses from others; nil where they cannot be listed.
func ownAddress() func(netip.Addr) bool {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	own := map[netip.Addr]bool{}
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own[ip.Unmap()] = true
			}
		}
	}
	return func(a netip.Addr) bool { return a.IsLoopback() && a.Is4() || own[a] }
}

// shortResolver is the system's resolver, with little patience.
type shortResolver struct{ patience time.Duration }

func (r shortResolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, network, host)
}
