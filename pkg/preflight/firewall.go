package preflight

import (
	"encoding/xml"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/unit"
)

// Firewall looks for configurations of firewalls in a machine's tree, and says so where there are some that keep something out
// and do not let TCP in on the port. Of firewalld the zones are read; of the others it is a hint: whether a line names the
// port, not what the rules come to.
func Firewall(t *unit.Tree, port uint16, shown func(path string) string) []finding.Finding {
	if shown == nil {
		shown = func(p string) string { return p }
	}
	for _, w := range walls {
		if !w.runs(t) {
			continue
		}
		at, why := w.look(t, port)
		if at == "" {
			continue
		}
		f := ruleByID("firewall-unopened").Finding(shown(at), why)
		f.Remedy = w.remedy
		if port != 16514 {
			f.Remedy = w.other
		}
		f.Remedy = strings.ReplaceAll(f.Remedy, "PORT", strconv.Itoa(int(port)))
		return []finding.Finding{f}
	}
	return nil
}

// A wall is a program that configures the kernel's filter.
type wall struct {
	// service loads the rules; empty: none is known.
	service string
	// look gives a file, and why it seems that the port is not open; an empty name: it is, or nothing is kept out.
	look          func(t *unit.Tree, port uint16) (at, why string)
	remedy, other string
}

// runs reports whether the service is enabled, or not known.
func (w wall) runs(t *unit.Tree) bool {
	if w.service == "" {
		return true
	}
	s := t.State(w.service)
	return s == unit.NotFound || s.On() || len(t.WantedBy(w.service)) > 0 && !s.Off()
}

const (
	firewalldPort = "firewall-cmd --permanent --add-port=PORT/tcp; firewall-cmd --reload"
	ufwPort       = "ufw allow PORT/tcp"
	nftPort       = "nft add rule inet filter input tcp dport PORT accept, and the same in the file"
	iptablesPort  = "iptables -I INPUT -p tcp --dport PORT -j ACCEPT, and the same in the file"
)

var walls = []wall{
	{"firewalld.service", firewalld, "firewall-cmd --permanent --add-service=libvirt-tls; firewall-cmd --reload", firewalldPort},
	{"ufw.service", ufw, ufwPort, ufwPort},
	{"nftables.service", nftables, nftPort, nftPort},
	{"netfilter-persistent.service", iptables("/etc/iptables/rules.v4", "/etc/iptables/rules.v6"), iptablesPort, iptablesPort},
	{"iptables.service", iptables("/etc/sysconfig/iptables", "/etc/sysconfig/ip6tables"), iptablesPort, iptablesPort},
}

// A text is a configuration: the files that there are, and what stands in them without comments.
type text struct {
	first string
	lines []string
}

func readText(t *unit.Tree, patterns ...string) text {
	var out text
	for _, pattern := range patterns {
		for _, n := range t.Glob(pattern) {
			b, err := t.ReadFile(n)
			if err != nil {
				continue
			}
			if out.first == "" {
				out.first = n
			}
			for line := range strings.Lines(string(b)) {
				if line, _, _ = strings.Cut(line, "#"); strings.TrimSpace(line) != "" {
					out.lines = append(out.lines, strings.TrimSpace(line))
				}
			}
		}
	}
	return out
}

var (
	refuses    = regexp.MustCompile(`(?i)\b(drop|reject|deny)\b`)
	udp        = regexp.MustCompile(`(?i)\budp\b`)
	tcp        = regexp.MustCompile(`(?i)\btcp\b`)
	sport      = regexp.MustCompile(`(?i)\bsports?\b`)
	dport      = regexp.MustCompile(`(?i)\bdports?\b`)
	otherHook  = regexp.MustCompile(`\bhook\s+(forward|output|postrouting|prerouting|ingress|egress)\b`)
	otherChain = regexp.MustCompile(`^(-A|-I|-P|:)\s*(FORWARD|OUTPUT|PREROUTING|POSTROUTING|DOCKER\S*|LIBVIRT_(?:FW|OUT|PRT)\S*)\b`)
)

// named reports whether a line lets the port in, and else one that refuses it.
func (x text) named(port uint16) (open bool, refused string) {
	for _, line := range x.lines {
		if !names(line, port) || udp.MatchString(line) && !tcp.MatchString(line) || sport.MatchString(line) && !dport.MatchString(line) {
			continue // of another protocol, or about where it comes from
		}
		if !refuses.MatchString(afterPort(line, port)) {
			return true, ""
		}
		if refused == "" {
			refused = line
		}
	}
	return false, refused
}

// afterPort cuts off what stands before the port: a policy in the same line is not about it.
func afterPort(line string, port uint16) string {
	if i := strings.Index(line, strconv.Itoa(int(port))); i >= 0 {
		line = line[i:]
	}
	if i := strings.IndexAny(line, ";"); i >= 0 {
		line = line[:i]
	}
	return line
}

// unopened words what was found.
func (x text) unopened(program string, port uint16) (at, why string) {
	open, refused := x.named(port)
	switch {
	case open:
		return "", ""
	case refused != "":
		return x.first, fmt.Sprintf("%s is configured, and what names port %d there refuses it: %s", program, port, refused)
	}
	return x.first, fmt.Sprintf("%s is configured, and nothing there names port %d or libvirt-tls.", program, port)
}

func ufw(t *unit.Tree, port uint16) (at, why string) {
	x := readText(t, "/etc/ufw/ufw.conf", "/etc/ufw/user.rules", "/etc/ufw/user6.rules")
	on := slices.ContainsFunc(x.lines, func(l string) bool {
		return strings.HasPrefix(strings.ReplaceAll(strings.ToLower(l), `"`, ""), "enabled=yes")
	})
	accepts := slices.ContainsFunc(readText(t, "/etc/default/ufw").lines, func(l string) bool {
		return strings.HasPrefix(strings.ReplaceAll(l, `"`, ""), "DEFAULT_INPUT_POLICY=ACCEPT")
	})
	if x.first == "" || !on {
		return "", ""
	}
	if _, refused := x.named(port); accepts && refused == "" {
		return "", ""
	}
	return x.unopened("ufw", port)
}

func nftables(t *unit.Tree, port uint16) (at, why string) {
	x := readText(t, "/etc/nftables.conf", "/etc/sysconfig/nftables.conf", "/etc/nftables/*.nft", "/etc/nftables.d/*")
	// A chain of another hook says nothing about who comes in.
	var kept []string
	depth, skip := 0, -1
	for i, line := range x.lines {
		if skip < 0 && strings.Contains(line, "chain ") {
			body := strings.Join(x.lines[i:min(len(x.lines), i+4)], " ")
			if end := strings.IndexByte(body, '}'); end >= 0 {
				body = body[:end]
			}
			if otherHook.MatchString(body) {
				skip = depth
			}
		}
		if skip < 0 {
			kept = append(kept, line)
		}
		depth += strings.Count(line, "{") - strings.Count(line, "}")
		if skip >= 0 && depth <= skip {
			skip = -1
		}
	}
	x.lines = kept
	if !slices.ContainsFunc(kept, refuses.MatchString) {
		return "", ""
	}
	return x.unopened("nftables", port)
}

func iptables(files ...string) func(t *unit.Tree, port uint16) (at, why string) {
	return func(t *unit.Tree, port uint16) (at, why string) {
		x := readText(t, files...)
		table := "filter"
		var kept []string
		for _, line := range x.lines {
			if strings.HasPrefix(line, "*") {
				table = line[1:]
			}
			if table == "filter" && !otherChain.MatchString(line) {
				kept = append(kept, line)
			}
		}
		x.lines = kept
		if !slices.ContainsFunc(kept, refuses.MatchString) {
			return "", ""
		}
		return x.unopened("iptables", port)
	}
}

var portWords = regexp.MustCompile(`\b(\d{1,5})(?:\s*[:-]\s*(\d{1,5}))?\b`)

// names reports whether a text names a port, alone or in a range, or the service libvirt-tls; comments do not count.
func names(text string, port uint16) bool {
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if port == 16514 && strings.Contains(line, "libvirt-tls") {
			return true
		}
		for _, m := range portWords.FindAllStringSubmatch(line, -1) {
			if inRange(m[1]+"-"+m[2], port) {
				return true
			}
		}
	}
	return false
}

// inRange reports whether a port is one, or lies between two with a dash.
func inRange(s string, port uint16) bool {
	from, to, _ := strings.Cut(s, "-")
	low, err := strconv.Atoi(strings.TrimSpace(from))
	if err != nil {
		return false
	}
	high := low
	if to = strings.TrimSpace(to); to != "" {
		if high, err = strconv.Atoi(to); err != nil {
			return false
		}
	}
	return low <= int(port) && int(port) <= high
}

// A zone is one of firewalld (firewalld.zone(5)).
type zone struct {
	Target     string     `xml:"target,attr"`
	Interfaces []struct{} `xml:"interface"`
	Sources    []struct{} `xml:"source"`
	Services   []struct {
		Name string `xml:"name,attr"`
	} `xml:"service"`
	Ports []zonePort `xml:"port"`
	Rules []struct {
		Service *struct {
			Name string `xml:"name,attr"`
		} `xml:"service"`
		Port   *zonePort `xml:"port"`
		Accept *struct{} `xml:"accept"`
	} `xml:"rule"`
}

type zonePort struct {
	Port     string `xml:"port,attr"`
	Protocol string `xml:"protocol,attr"`
}

func (p zonePort) opens(port uint16) bool { return p.Protocol == "tcp" && inRange(p.Port, port) }

// firewalldFile reads a zone or a service: the administrator's file hides that of the package.
func firewalldFile(t *unit.Tree, kind, name string, into any) (file string, err error) {
	for _, dir := range []string{"/etc/firewalld/", "/usr/lib/firewalld/"} {
		file = dir + kind + "/" + name + ".xml"
		var b []byte
		if b, err = t.ReadFile(file); err == nil {
			return file, xml.Unmarshal(b, into)
		}
	}
	return "", err
}

// An opening asks of firewalld's services whether they have a port, of each once: many zones may name it, many times.
type opening struct {
	t     *unit.Tree
	port  uint16
	known map[string]bool
}

// by reports whether a service has the port.
func (o opening) by(name string) bool {
	yes, ok := o.known[name]
	if ok {
		return yes
	}
	var s struct {
		Ports []zonePort `xml:"port"`
	}
	if _, err := firewalldFile(o.t, "services", name, &s); err != nil {
		yes = name == "libvirt-tls" && o.port == 16514 // firewalld's own
	} else {
		yes = slices.ContainsFunc(s.Ports, func(p zonePort) bool { return p.opens(o.port) })
	}
	o.known[name] = yes
	return yes
}

func (z zone) opens(o opening) bool {
	port := o.port
	if z.Target == "ACCEPT" || slices.ContainsFunc(z.Ports, func(p zonePort) bool { return p.opens(port) }) {
		return true
	}
	for _, s := range z.Services {
		if o.by(s.Name) {
			return true
		}
	}
	for _, r := range z.Rules {
		if r.Accept != nil && (r.Port != nil && r.Port.opens(port) || r.Service != nil && o.by(r.Service.Name)) {
			return true
		}
	}
	return false
}

// firewalld looks at the zones that are used as far as its files tell: the default one, and those with interfaces or sources. To which zone
// NetworkManager gives a connection does not stand there.
func firewalld(t *unit.Tree, port uint16) (at, why string) {
	conf := readText(t, "/etc/firewalld/firewalld.conf")
	used, first := []string{"public"}, conf.first
	for _, l := range conf.lines {
		if v, ok := strings.CutPrefix(l, "DefaultZone="); ok {
			used[0] = strings.TrimSpace(v)
		}
	}
	for _, n := range t.Glob("/etc/firewalld/zones/*.xml") {
		if first == "" {
			first = n
		}
		var z zone
		name := strings.TrimSuffix(path.Base(n), ".xml")
		if b, err := t.ReadFile(n); err == nil && name != used[0] && xml.Unmarshal(b, &z) == nil && len(z.Interfaces)+len(z.Sources) > 0 {
			used = append(used, name)
		}
	}
	if first == "" {
		return "", ""
	}
	o := opening{t, port, map[string]bool{}}
	for _, name := range used {
		var z zone
		file, err := firewalldFile(t, "zones", name, &z)
		if err != nil && file == "" {
			z.Target = map[string]string{"trusted": "ACCEPT"}[name] // the package's own zones are not in the tree
		} else if err != nil {
			continue
		}
		if z.opens(o) {
			return "", ""
		}
		if file != "" && at == "" {
			at = file
		}
	}
	if at == "" {
		at = first
	}
	return at, fmt.Sprintf("firewalld is configured, and of its zones in use (%s) none opens port %d/tcp.", strings.Join(used, ", "), port)
}
