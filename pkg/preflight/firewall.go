package preflight

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/unit"
)

// Firewall looks for configurations of firewalls in a machine's tree, and says so where there are some that keep something
// out and name neither the port nor the service libvirt-tls. It is a hint: what the rules come to is not worked out.
func Firewall(t *unit.Tree, port uint16, shown func(path string) string) []finding.Finding {
	if shown == nil {
		shown = func(p string) string { return p }
	}
	for _, w := range walls {
		state := t.State(w.service)
		if w.service != "" && state != unit.NotFound && !state.On() {
			continue
		}
		first, text := "", ""
		for _, pattern := range w.files {
			for _, n := range t.Glob(pattern) {
				b, err := t.ReadFile(n)
				if err != nil {
					continue
				}
				if first == "" {
					first = n
				}
				text += string(b) + "\n"
			}
		}
		if first == "" || !w.blocks.MatchString(text) || names(text, port) {
			continue
		}
		f := ruleByID("firewall-unopened").Finding(shown(first), fmt.Sprintf("%s is configured, and nothing there names port %d or libvirt-tls.", w.name, port))
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
	name, service string
	files         []string
	// blocks is what stands in its files when something is kept out.
	blocks        *regexp.Regexp
	remedy, other string
}

var (
	drops     = regexp.MustCompile(`(?im)^[^#]*\b(drop|reject)\b`)
	something = regexp.MustCompile(`\S`)
	ufwOn     = regexp.MustCompile(`(?m)^ENABLED=["']?yes`)
)

const (
	firewalldPort = "firewall-cmd --permanent --add-port=PORT/tcp; firewall-cmd --reload"
	ufwPort       = "ufw allow PORT/tcp"
	nftPort       = "nft add rule inet filter input tcp dport PORT accept, and the same in the file"
	iptablesPort  = "iptables -I INPUT -p tcp --dport PORT -j ACCEPT, and the same in the file"
)

var walls = []wall{
	{"firewalld", "firewalld.service", []string{"/etc/firewalld/zones/*.xml", "/etc/firewalld/firewalld.conf"}, something,
		"firewall-cmd --permanent --add-service=libvirt-tls; firewall-cmd --reload", firewalldPort},
	{"ufw", "", []string{"/etc/ufw/ufw.conf", "/etc/ufw/user.rules", "/etc/ufw/user6.rules"}, ufwOn, ufwPort, ufwPort},
	{"nftables", "nftables.service", []string{"/etc/nftables.conf", "/etc/sysconfig/nftables.conf", "/etc/nftables/*.nft", "/etc/nftables.d/*"},
		drops, nftPort, nftPort},
	{"iptables", "", []string{"/etc/iptables/rules.v4", "/etc/iptables/rules.v6", "/etc/sysconfig/iptables", "/etc/sysconfig/ip6tables"},
		drops, iptablesPort, iptablesPort},
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
			low, _ := strconv.Atoi(m[1])
			high := low
			if m[2] != "" {
				high, _ = strconv.Atoi(m[2])
			}
			if low <= int(port) && int(port) <= high {
				return true
			}
		}
	}
	return false
}
