package main

import (
	"crypto"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// A makeView is what init and issue say.
type makeView struct {
	Schema     int               `json:"schema"`
	DryRun     bool              `json:"dry_run,omitempty"`
	Dir        string            `json:"dir"`
	Authority  authorityView     `json:"authority"`
	Identities []identityView    `json:"identities"`
	Proof      *proofView        `json:"proof,omitempty"`
	Findings   []finding.Finding `json:"findings"`
	Seconds    float64           `json:"seconds,omitempty"`
	// Conf are the lines that libvirtd.conf needs for a flat directory.
	Conf []string `json:"conf,omitempty"`
	// Next are the commands that come next.
	Next []nextView `json:"next,omitempty"`
	// Closed are keys that QEMU cannot read yet.
	Closed []string `json:"closed,omitempty"`
}

// A nextView is a command that can be run as it stands, and what for.
type nextView struct {
	Command string `json:"command"`
	Why     string `json:"why"`
}

type authorityView struct {
	Dir       string    `json:"dir"`
	DN        string    `json:"dn"`
	Key       string    `json:"key"`
	NotAfter  time.Time `json:"not_after"`
	Encrypted bool      `json:"encrypted"`
	// KeyPlace says where the key is when it is not in Dir.
	KeyPlace string   `json:"key_place,omitempty"`
	Libvirt  []string `json:"libvirt"`
	isNew    bool
}

type identityView struct {
	Member   string     `json:"member"`
	Role     string     `json:"role"`
	Layout   string     `json:"layout"`
	DN       string     `json:"dn"`
	Names    []string   `json:"names"`
	Key      string     `json:"key"`
	NotAfter time.Time  `json:"not_after"`
	Serial   string     `json:"serial,omitempty"`
	Files    []madeFile `json:"files"`
}

type madeFile struct {
	Path string `json:"path"`
	Mode string `json:"mode"`
}

type proofView struct {
	Pairs      int      `json:"pairs"`
	Handshakes int      `json:"handshakes"`
	Libvirt    []string `json:"libvirt"`
}

func (p *program) viewAuthority(a *ca.Authority, dir string) authorityView {
	v := authorityView{Dir: dir, NotAfter: a.NotAfter(), Key: keyName(a.PublicKey())}
	if cert, err := certs.Import(a.CertDER()); err == nil {
		v.DN, _ = cert.Subject.Text()
	}
	for _, l := range a.Policy().Libvirt {
		v.Libvirt = append(v.Libvirt, l.String())
	}
	return v
}

func keyName(k crypto.PublicKey) string {
	a, ok := certs.AlgorithmOf(k)
	if !ok {
		return fmt.Sprintf("%T", k)
	}
	return string(a)
}

// plan fills the view with what would be made.
func (v *makeView) plan(plan *cluster.Plan) {
	v.Findings = []finding.Finding{}
	for _, id := range plan.Identities() {
		v.add(id, "")
	}
}

func (v *makeView) add(id cluster.Planned, serial string) {
	i := identityView{Member: id.Member, Role: id.Role.String(), Layout: string(id.Layout), DN: id.Subject, Names: id.Names,
		Key: string(id.Key), NotAfter: id.NotAfter, Serial: serial}
	if i.Names == nil {
		i.Names = []string{}
	}
	for _, f := range id.Files {
		i.Files = append(i.Files, madeFile{f.Path, fmt.Sprintf("%04o", f.Item.Mode)})
	}
	v.Identities = append(v.Identities, i)
	v.Findings = append(v.Findings, id.Findings...)
}

// made fills the view with what was made.
func (v *makeView) made(m cluster.Made, took time.Duration) {
	v.Findings = []finding.Finding{}
	for _, id := range m.Identities {
		v.add(id.Planned, id.Serial)
	}
	v.Closed = m.Closed
	v.Seconds = took.Round(time.Millisecond).Seconds()
	v.Proof = &proofView{m.Proof.Pairs, m.Proof.Handshakes, m.Proof.Versions}
}

// printMade prints what init or issue made or would make.
func (p *program) printMade(v makeView) {
	w := p.stdout
	verb := "made"
	switch {
	case v.Authority.isNew && v.DryRun:
		verb = "would make"
	case v.DryRun:
		verb = "would issue into"
	case !v.Authority.isNew:
		verb = "issued into"
	}
	fmt.Fprintf(w, "%s %s\n\n", verb, v.Dir)
	if v.Authority.isNew {
		fmt.Fprintf(w, "  CA       %s, %s, until %s\n", visible(v.Authority.DN), v.Authority.Key, date(v.Authority.NotAfter))
		switch {
		case v.DryRun && v.Authority.KeyPlace != "":
			fmt.Fprintf(w, "           its key would be %s\n", visible(v.Authority.KeyPlace))
		case v.DryRun:
		case v.Authority.KeyPlace != "":
			fmt.Fprintf(w, "           its key is %s\n", visible(v.Authority.KeyPlace))
		case v.Authority.Encrypted:
			fmt.Fprintf(w, "           its key is encrypted: %s\n", filepath.Join(v.Authority.Dir, "private/cakey.pem"))
		default:
			fmt.Fprintf(w, "           its key lies UNENCRYPTED in %s\n", filepath.Join(v.Authority.Dir, "private/cakey.pem"))
		}
	}
	const most = 12 // more would scroll the important lines away
	layouts := map[string]bool{}
	for _, id := range v.Identities {
		layouts[id.Layout] = true
	}
	for i, id := range v.Identities {
		if i == most && !v.DryRun && len(v.Identities) > most+1 {
			fmt.Fprintf(w, "  ...      and %d more\n", len(v.Identities)-most)
			break
		}
		place := ""
		if len(layouts) > 1 {
			place = ", layout " + id.Layout
		}
		key := id.Key
		if key == "" {
			key = "key of its own"
		}
		fmt.Fprintf(w, "  %-8s %s, %s, until %s%s\n", id.Role, visible(id.DN), key, date(id.NotAfter), place)
		for _, f := range id.Files {
			if v.DryRun || len(v.Identities) <= 4 {
				fmt.Fprintf(w, "           %s %s\n", f.Mode, f.Path)
			}
		}
	}
	if v.Proof != nil && v.Proof.Pairs > 0 {
		if v.Proof.Handshakes == v.Proof.Pairs {
			fmt.Fprintf(w, "\n  proof    every server and client connected by TLS (%s), as libvirt %s would\n",
				plural(v.Proof.Pairs, "pair"), list(v.Proof.Libvirt))
		} else {
			fmt.Fprintf(w, "\n  proof    every server and every client connected by TLS at least once (%d of %s), as libvirt %s would\n",
				v.Proof.Handshakes, plural(v.Proof.Pairs, "pair"), list(v.Proof.Libvirt))
		}
	}
	for _, f := range v.Closed {
		p.warn("%s is readable by root only, and QEMU runs as another user", f)
	}
	if len(v.Closed) > 0 {
		p.hint("on the host: chgrp kvm (Fedora: qemu) and chmod 0640, or run virt-pki as root with --qemu-group")
	}
	p.printFindings(w, v.Findings, false)
	if len(v.Conf) > 0 {
		fmt.Fprintf(w, "\nin libvirtd.conf:\n")
		for _, l := range v.Conf {
			fmt.Fprintf(w, "  %s\n", l)
		}
	}
	printNext(w, v.Next)
}

// printNext prints commands with what they are for as a shell's comment, so that the lines can be pasted.
func printNext(w io.Writer, next []nextView) {
	if len(next) == 0 {
		return
	}
	const most = 60 // longer commands have their comments above
	width := 0
	for _, n := range next {
		width = max(width, len(n.Command))
	}
	fmt.Fprintf(w, "\nnext:\n")
	for _, n := range next {
		if width > most {
			fmt.Fprintf(w, "  # %s\n  %s\n", n.Why, n.Command)
		} else {
			fmt.Fprintf(w, "  %-*s   # %s\n", width, n.Command, n.Why)
		}
	}
}

func date(t time.Time) string { return t.UTC().Format("2006-01-02") }

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// list words several versions: "9.0.0, 11.3.0 and 12.8.0".
func list(words []string) string {
	switch len(words) {
	case 0:
		return ""
	case 1:
		return words[0]
	}
	out := words[0]
	for _, w := range words[1 : len(words)-1] {
		out += ", " + w
	}
	return out + " and " + words[len(words)-1]
}

// next names the commands that are useful after init or issue.
func (v *makeView) next(s cluster.Spec, made cluster.Made, authority string, isNew bool) {
	var server, client *cluster.Identity
	for i := range made.Identities {
		id := &made.Identities[i]
		if server == nil && id.Role != certs.Client && !id.Layout.ForQEMU() {
			server = id
		}
		if client == nil && id.Role == certs.Client && !id.Layout.ForQEMU() {
			client = id
		}
	}
	abs, err := filepath.Abs(s.Dir)
	if err != nil {
		abs = s.Dir
	}
	flat := len(s.Kinds) == 1 && s.Kinds[0] == layout.PkiPath
	add := func(why, format string, a ...any) {
		v.Next = append(v.Next, nextView{Command: fmt.Sprintf(format, a...), Why: why})
	}
	tree := s.Dir
	if !flat {
		tree = filepath.Join(s.Dir, made.Identities[0].Member)
		if server != nil {
			tree = filepath.Join(s.Dir, server.Member)
		}
	}
	add("judge the files, at any time", "virt-pki check %s", pathArgument(tree))
	// A client need not be a machine.
	if host := filepath.Base(tree); !flat && (server != nil || strings.Contains(host, ".")) {
		owner := ""
		if !writeOptions().SetOwners {
			owner = " --owner=root --group=root"
		}
		add("lay them over the host's /", "tar -C %s%s -c . | ssh root@%s tar -C / -x --no-overwrite-dir", pathArgument(tree), owner, shellQuote(host))
	}
	if client != nil {
		if cert := certOf(client); cert != "" {
			add("the name for tls_allowed_dn_list", "virt-pki query-dn %s", pathArgument(cert))
		}
	}
	if server != nil && flat {
		v.Conf = []string{"ca_file = " + confString(abs+"/cacert.pem"), "cert_file = " + confString(abs+"/servercert.pem"),
			"key_file = " + confString(abs+"/serverkey.pem")}
	}
	if host := uriHost(server); host != "" && isNew {
		if flat && client != nil {
			add("live, when the daemon listens", "virt-pki verify %s",
				shellQuote("qemu+tls://"+host+"/system?pkipath="+strings.NewReplacer("%2F", "/", "&", "%26").Replace(url.PathEscape(abs))))
		} else if !flat {
			add("on a client, when the daemon listens", "virt-pki verify qemu+tls://%s/system", host)
		}
	}
	switch {
	case !isNew:
	case flat:
		add("more identities", "virt-pki issue client NAME --authority %s --pkipath NAME", pathArgument(authority))
	default:
		add("more identities", "virt-pki issue client NAME --out %s", pathArgument(s.Dir))
	}
}

// uriHost gives what a client may call the server in a URI; a wildcard is no name.
func uriHost(server *cluster.Identity) string {
	if server == nil {
		return ""
	}
	for _, n := range server.Names {
		switch {
		case strings.HasPrefix(n, "*"):
		case strings.Contains(n, ":"):
			return "[" + n + "]"
		default:
			return n
		}
	}
	return ""
}

// pathArgument writes a path as a word of a command line that is not taken for an option.
func pathArgument(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	return shellQuote(path)
}

// certOf gives an identity's certificate file.
func certOf(id *cluster.Identity) string {
	for _, f := range id.Files {
		if f.Item.Part == layout.Cert {
			return f.Path
		}
	}
	return ""
}
