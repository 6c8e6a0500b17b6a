package main

import (
	"fmt"
	"path"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/bundle"
	"github.com/virt-pki/virt-pki/pkg/conf"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/handshake"
	"github.com/virt-pki/virt-pki/pkg/preflight"
	"github.com/virt-pki/virt-pki/pkg/priority"
	"github.com/virt-pki/virt-pki/pkg/unit"
	"github.com/virt-pki/virt-pki/pkg/uri"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// hostsFlag makes preflight judge all hosts against all hosts.
func hostsFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "hosts", Usage: "`DIR|FILE`: judge all connections among these hosts: bundles of collect, trees of init, or directories of them"}
}

// A matrixView is the answer of preflight --hosts. It has the fields of preflight's, of which these do not apply.
type matrixView struct {
	Schema      int                `json:"schema"`
	Daemon      *preflightDaemon   `json:"daemon"`
	Connections []preflightAttempt `json:"connections"`
	Hosts       []matrixHost       `json:"hosts"`
	Matrix      []matrixCell       `json:"matrix"`
	Troubles    []matrixTrouble    `json:"troubles"`
	// Migration has the live migrations with QEMU's TLS, each direction; null: no host has files for it.
	Migration *migrationView    `json:"migration,omitempty"`
	Findings  []finding.Finding `json:"findings"`
	Unchecked []string          `json:"unchecked,omitempty"`

	m        *preflight.Matrix
	troubles []preflight.Trouble
}

type matrixHost struct {
	Name    string `json:"name"`
	Source  string `json:"source"`
	Libvirt string `json:"libvirt"`
	// URI is by what the others call it; null: it has no daemon and is a client only.
	URI *string `json:"uri"`
	// Client says whether it connects to others.
	Client bool             `json:"client"`
	Daemon *preflightDaemon `json:"daemon"`
}

type matrixCell struct {
	Server string `json:"server"`
	Client string `json:"client"`
	// Outcome is null where a file that it depends on could not be read.
	Outcome        *string `json:"outcome"`
	Cause          *string `json:"cause"`
	LibvirtMessage *string `json:"libvirt_message"`
	DaemonMessage  *string `json:"daemon_message"`
	Proven         bool    `json:"proven"`
	// RFC5280 is what RFC 5280 says to the certificates that the two hosts show each other.
	RFC5280   *opinions `json:"rfc5280,omitempty"`
	Unchecked []string  `json:"unchecked,omitempty"`
}

type matrixTrouble struct {
	Cause  string        `json:"cause"`
	Hosts  []string      `json:"hosts"`
	Cells  int           `json:"cells"`
	Blocks []matrixBlock `json:"blocks"`
	Cases  []matrixCase  `json:"cases"`
}

type matrixBlock struct {
	Outcome finding.Outcome `json:"outcome"`
	Clients []string        `json:"clients"`
	Servers []string        `json:"servers"`
}

type matrixCase struct {
	Host    string `json:"host"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// matrix judges all hosts against all hosts.
func (p *program) matrix(c *cli.Context) error {
	for _, f := range []string{"uri", "file", "client", "host", "root", "session", "system", "no-resolve"} {
		if c.IsSet(f) {
			return usage("--%s and --hosts exclude each other", f)
		}
	}
	level, paint, err := p.judging(c)
	if err != nil {
		return err
	}
	format, err := outputFormat(c)
	if err != nil {
		return err
	}
	v, err := p.cross(c, append(c.StringSlice("hosts"), c.Args().Slice()...))
	if err != nil {
		return err
	}
	if err := p.showAs(c, format, v, v.Findings, v.junit, func() { p.printMatrix(v, paint) }); err != nil {
		return err
	}
	failed := finding.Worst(v.Findings) >= level
	for _, cell := range v.m.Cells {
		failed = failed || cell.Outcome != "" && cell.Outcome != finding.Connected
	}
	if v.Migration != nil {
		failed = failed || len(v.Migration.Troubles) > 0
	}
	switch {
	case failed:
		return status(exitFindings)
	case len(v.Unchecked) > 0:
		return status(exitIncomplete)
	}
	return nil
}

// cross loads the hosts and predicts the connections.
func (p *program) cross(c *cli.Context, names []string) (*matrixView, error) {
	var hosts []*bundle.Host
	by := map[string]string{}
	for _, name := range names {
		more, err := bundle.Load(name)
		if err != nil {
			return nil, err
		}
		for _, h := range more {
			if other, ok := by[strings.ToLower(h.Name)]; ok {
				return nil, usage("two hosts are called %s: %s and %s", h.Name, other, h.Source).
					hint("virt-pki collect --name NAME gives a bundle another name")
			}
			by[strings.ToLower(h.Name)] = h.Source
			hosts = append(hosts, h)
		}
	}
	v := &matrixView{Schema: 1, Connections: []preflightAttempt{}, Hosts: []matrixHost{}, Matrix: []matrixCell{},
		Troubles: []matrixTrouble{}, Findings: []finding.Finding{}}
	judge, err := judgeOf(c)
	if err != nil {
		return nil, err
	}
	var ends []preflight.Host
	servers := false
	for _, h := range hosts {
		end, err := p.matrixHost(c, h)
		if err != nil {
			return nil, err
		}
		if end.Daemon != nil {
			servers, end.Daemon.Judge = true, judge
		}
		ends = append(ends, end)
	}
	if !servers {
		return nil, usage("none of the hosts is a server: there is no configuration of a daemon and no server's certificate").
			hint("run virt-pki collect on the hosts with the daemons, too")
	}
	apart(hosts, ends)
	jobs := c.Int("jobs")
	if jobs <= 0 {
		jobs = processors()
	}
	show, clear := p.progress(c.Bool("quiet"))
	defer clear()
	m, err := preflight.Cross(c.Context, ends, jobs, func(done, total int) {
		if show != nil {
			show("judged", done, total)
		}
	})
	if err != nil {
		return nil, err
	}
	clear()
	v.m, v.troubles = m, m.Troubles()
	if err := v.fill(hosts); err != nil {
		return nil, err
	}
	g, err := m.Migrate(c.Context, jobs)
	if err == nil {
		v.migrations(g)
	}
	return v, err
}

// apart takes servers for no clients where others are the clients: some host without a daemon has a client's certificate, and
// no server has one.
func apart(hosts []*bundle.Host, ends []preflight.Host) {
	others := false
	for i, h := range hosts {
		identity := h.Exists("/etc/pki/libvirt/clientcert.pem") || h.Exists("/etc/pki/libvirt/private/clientkey.pem") ||
			h.Exists("/etc/pki/libvirt/clientcert0.pem")
		if ends[i].Daemon == nil {
			others = others || identity || !ends[i].Client.Root
		} else if identity {
			return
		}
	}
	for i := range ends {
		ends[i].ServerOnly = others && ends[i].Daemon != nil
	}
}

// matrixHost describes a host as server and as client.
func (p *program) matrixHost(c *cli.Context, h *bundle.Host) (end preflight.Host, err error) {
	version, library := verify.Oldest, priority.Options{}
	own := &host{root: h.Source, tree: unitsOf(h)}
	if h.Manifest != nil {
		own.collected = h
	}
	switch said := c.String("libvirt"); {
	case said != "" && said != autoVersion:
		all, err := versions(c)
		if err != nil {
			return end, err
		}
		if version = all[0]; len(all) > 1 {
			return end, usage("--libvirt %s: with --hosts there is one version for all", said)
		}
	default:
		if v, err := p.installedVersion(c.Context, own); err == nil {
			version = v
		}
	}
	library.GnuTLS = handshake.GnuTLSOf(version)
	if h.Manifest != nil {
		upstream, _, _ := strings.Cut(h.Manifest.GnuTLS, "-")
		if r, err := priority.ParseRelease(upstream); err == nil {
			library.GnuTLS = r
		}
	}
	at, err := p.at(c)
	if err != nil {
		return end, err
	}
	machine := preflight.Machine{Root: true, Home: "/root", Libvirt: version, GnuTLS: library, ReadFile: h.ReadFile, Exists: h.Exists,
		Real: h.Real, Withheld: h.Withheld}
	if err := p.gnutlsOf(c, &machine, own); err != nil {
		return end, err
	}
	end = preflight.Host{Name: h.Name, Client: preflight.Client{Machine: machine, At: at, URI: uri.Options{ReadOnly: c.Bool("readonly")}}}
	if end.Client.Engine, end.Client.Program, err = p.engine(c); err != nil {
		return end, err
	}
	if end.QEMU, err = qemuOf(c, h, own, version); err != nil {
		return end, err
	}
	if s := c.String("client-libvirt"); s != "" {
		if end.Client.Libvirt, err = verify.ParseVersion(s); err != nil {
			return end, usage("--client-libvirt: %s", err)
		}
	}
	// A client that is nobody's root: a tree for a user.
	if homes := h.Homes(); len(homes) == 1 && !h.Exists("/etc/pki/libvirt") && homes[0] != "/root" {
		end.Client.Root, end.Client.Home = false, homes[0]
	}
	end.Daemon, err = p.matrixDaemon(c, h, machine)
	if end.Daemon != nil {
		end.Daemon.At = at
	}
	return end, err
}

// unitsOf gives the units of a host, in a tree or a bundle.
func unitsOf(h *bundle.Host) *unit.Tree {
	t := unit.New(h.FS())
	if h.Manifest != nil {
		t = t.Sparse()
	}
	return t
}

// matrixDaemon describes a host's daemon; nil: it has none.
func (p *program) matrixDaemon(c *cli.Context, h *bundle.Host, machine preflight.Machine) (*preflight.Daemon, error) {
	d := &preflight.Daemon{Machine: machine, Kind: conf.Libvirtd, ConfFile: "/etc/libvirt/libvirtd.conf", Run: conf.Run{Listen: !c.Bool("no-listen")}}
	if c.Bool("socket-activated") {
		d.Run.Listen, d.Run.SocketActivated, d.Run.TLSSocket = false, true, true
	}
	names := []string{"/etc/libvirt/libvirtd.conf", "/etc/libvirt/virtproxyd.conf"}
	program := c.String("for")
	if program == "" && h.Exists("/usr/sbin/virtproxyd") && !h.Exists("/usr/sbin/libvirtd") {
		names[0], names[1] = names[1], names[0]
	}
	if tree := unitsOf(h); tree.HasUnits() && !c.Bool("no-listen") && !c.Bool("socket-activated") {
		if s := tree.Survey(nil); len(s.Daemons) > 0 {
			runs := s.Remote()
			if program != "" {
				runs = s.Daemon(program)
			}
			if runs != nil {
				d.Units, d.Shown, program = s, func(path string) string { return path }, runs.Name
				if runs.Arguments.Configured {
					names = []string{runs.Arguments.Config}
				}
			}
		}
	}
	if program != "" && !(d.Units != nil && d.Units.Daemon(program).Arguments.Configured) {
		names = []string{"/etc/libvirt/" + program + ".conf"}
	}
	found := d.Units != nil
	d.ConfFile = names[0]
	for _, name := range names {
		text, err := h.ReadFile(name)
		if err == nil {
			d.Conf, d.ConfFile, found = text, name, true
			break
		}
		if h.Exists(name) {
			d.ConfFile, found = name, true // Cross notes that it could not be read
			break
		}
		if d.Units != nil && d.Units.Daemon(program).Arguments.Configured {
			d.ConfErr = err
		}
	}
	if !found {
		if !h.Exists("/etc/pki/libvirt/servercert.pem") && !h.Exists("/etc/pki/libvirt/private/serverkey.pem") {
			return nil, nil
		}
		// A tree of credentials alone: libvirt's defaults, or what is to be put there.
		if name := c.String("conf"); name != "" {
			text, err := p.readFile(name)
			if err != nil {
				return nil, fmt.Errorf("reading the daemons' configuration: %w", err)
			}
			d.Conf, d.ConfFile = text, name
		}
	}
	var err error
	if d.Kind, err = confKind(program, path.Base(d.ConfFile), d.Conf); err != nil {
		return nil, err
	}
	if !d.Kind.Daemon() {
		d.Kind = conf.Libvirtd
	}
	return d, nil
}

// fill makes the view of the matrix.
func (v *matrixView) fill(hosts []*bundle.Host) error {
	m := v.m
	cat, err := catalogue()
	if err != nil {
		return err
	}
	beside := m.Beside()
	for i, h := range m.Hosts {
		w := matrixHost{Name: h.Name, Source: hosts[i].Source, Libvirt: h.Client.Libvirt.String(), Client: !h.ServerOnly}
		if s := m.Servers[i]; s != nil {
			w.URI = optional(h.Address())
			w.Daemon = &preflightDaemon{Starts: s.Starts, LibvirtMessage: optional(s.LibvirtMessage), Cause: optional(s.Cause),
				Program: h.Daemon.Kind.String(), Libvirt: h.Daemon.Libvirt.String(), Conf: h.Daemon.ConfFile, Exit: s.Exit,
				ListensTLS: s.Starts && s.ListensTLS, ListensTCP: s.Starts && s.ListensTCP}
			for _, u := range s.Unchecked {
				v.Unchecked = append(v.Unchecked, h.Name+": "+u)
			}
		}
		v.Hosts = append(v.Hosts, w)
		for _, name := range m.Unread[i] {
			v.Unchecked = append(v.Unchecked, fmt.Sprintf("%s: %s could not be read; its connections are not judged", h.Name, name))
		}
		if len(m.Unread[i]) > 0 {
			continue
		}
		for _, f := range cat.Root(append(m.Own[i][:len(m.Own[i]):len(m.Own[i])], beside[i]...)) {
			f.Subject = h.Name + ":" + f.Subject
			v.Findings = append(v.Findings, f)
		}
	}
	for _, c := range m.Cells {
		v.Matrix = append(v.Matrix, matrixCell{Server: m.Hosts[c.Server].Name, Client: m.Hosts[c.Client].Name, Outcome: optional(string(c.Outcome)),
			Cause: optional(c.Cause.Rule), LibvirtMessage: optional(c.LibvirtMessage), DaemonMessage: optional(c.DaemonMessage),
			Proven: c.Proven, RFC5280: opinionsOf(c.RFC5280), Unchecked: c.Unchecked})
	}
	for _, t := range v.troubles {
		v.Troubles = append(v.Troubles, v.trouble(m, t))
	}
	return nil
}

// trouble describes a trouble, and adds its cause to the findings, unless the host has it among its own.
func (v *matrixView) trouble(m *preflight.Matrix, t preflight.Trouble) matrixTrouble {
	w := matrixTrouble{Cause: t.Rule, Hosts: namesOf(m, t.Hosts), Cells: t.Size()}
	for _, b := range t.Blocks {
		w.Blocks = append(w.Blocks, matrixBlock{b.Outcome, namesOf(m, b.Clients), namesOf(m, b.Servers)})
	}
	for _, k := range t.Cases {
		w.Cases = append(w.Cases, matrixCase{m.Hosts[k.Host].Name, k.Message, k.Remedy})
		f := k.Finding
		f.Subject = m.Hosts[k.Host].Name + ":" + f.Subject
		if !contains(v.Findings, f) {
			v.Findings = append(v.Findings, f)
		}
	}
	return w
}

func contains(fs []finding.Finding, f finding.Finding) bool {
	for _, g := range fs {
		if g.Rule == f.Rule && g.Subject == f.Subject && g.Message == f.Message {
			return true
		}
	}
	return false
}

func namesOf(m *preflight.Matrix, hosts []int) []string {
	out := make([]string, len(hosts))
	for i, h := range hosts {
		out[i] = m.Hosts[h].Name
	}
	return out
}
