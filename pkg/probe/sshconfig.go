package probe

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/virt-pki/virt-pki/pkg/finding"
	"github.com/virt-pki/virt-pki/pkg/uri"
)

// sshGlobalConfig is read by libssh after the user's own file.
const sshGlobalConfig = "/etc/ssh/ssh_config"

// maxSSHFiles bounds how many files are read; libssh bounds the depth of Include.
const maxSSHFiles = 256

// An sshConfig is what of OpenSSH's client configuration libssh follows under libvirt, which has resolved the host,
// connected, and chosen user and key before libssh reads these files (ssh_options_parse_config within ssh_connect). What
// they say of known_hosts then replaces what libvirt had set. Measured with libvirt 9.0.0 and libssh 0.10.6.
type sshConfig struct {
	host, user, localUser, home string
	read                        func(string) ([]byte, error)
	glob                        func(string) ([]string, error)

	hostName          string // what known_hosts calls the host; empty: as in the URI
	port              int    // the same of the port
	userKnownHosts    string
	globalKnownHosts  string
	anyKey            bool // StrictHostKeyChecking no
	hostKeyAlgorithms []string

	seen                map[string]bool // the first of two counts
	applied, unfollowed []string        // FILE:LINE: what it says
	unusable            string          // FILE:LINE of what libssh stops at
	open                []string        // the files being read, of which none is included again
	files               int
}

// load reads the user's file, then the system's.
func (c *sshConfig) load() {
	c.seen = map[string]bool{}
	c.file(path.Join(c.home, ".ssh/config"))
	c.file(sshGlobalConfig)
}

func (c *sshConfig) file(name string) {
	if slices.Contains(c.open, name) || c.files >= maxSSHFiles {
		return
	}
	text, err := c.read(name)
	if err != nil {
		return // a file that is not there says nothing
	}
	c.files++
	c.open = append(c.open, name)
	defer func() { c.open = c.open[:len(c.open)-1] }()
	active := true
	for i, line := range strings.Split(string(text), "\n") {
		keyword, words := sshConfigLine(line)
		where := fmt.Sprintf("%s:%d", name, i+1)
		switch {
		case c.unusable != "":
			return
		case keyword == "host":
			active = c.hostLine(words)
		case keyword == "match":
			active = c.matchLine(words, where)
		case active && keyword == "include":
			for _, pattern := range words {
				c.include(pattern)
			}
		case active && keyword != "" && len(words) > 0:
			c.setting(keyword, words[0], where)
		}
	}
}

// sshConfigLine splits a line into its keyword, in small letters, and its words. Between the two there may be an equals
// sign; words may be quoted.
func sshConfigLine(line string) (keyword string, words []string) {
	const blanks = " \t\r"
	line = strings.Trim(line, blanks)
	if line == "" || line[0] == '#' {
		return "", nil
	}
	end := strings.IndexAny(line, blanks+"=")
	if end < 0 {
		return strings.ToLower(line), nil
	}
	keyword, rest := strings.ToLower(line[:end]), strings.TrimLeft(line[end:], blanks)
	rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), blanks)
	for rest != "" {
		var word string
		if quoted, ok := strings.CutPrefix(rest, `"`); ok {
			word, rest, _ = strings.Cut(quoted, `"`)
		} else if end := strings.IndexAny(rest, blanks); end >= 0 {
			word, rest = rest[:end], rest[end:]
		} else {
			word, rest = rest, ""
		}
		words = append(words, word)
		rest = strings.TrimLeft(rest, blanks)
	}
	return keyword, words
}

// hostLine decides a Host block: by the first pattern that matches, negated or not, which is not OpenSSH's rule.
func (c *sshConfig) hostLine(patterns []string) bool {
	host := strings.ToLower(c.host)
	for _, p := range patterns {
		negated, ok := strings.CutPrefix(p, "!")
		if libsshHostMatches(negated, host) {
			return !ok
		}
	}
	return false
}

// matchLine decides a Match block. The host as it was first written is not known to libssh at this time.
func (c *sshConfig) matchLine(words []string, where string) bool {
	active := len(words) > 0
	for len(words) > 0 {
		criterion, negated := strings.CutPrefix(strings.ToLower(words[0]), "!")
		words = words[1:]
		switch criterion {
		case "all", "final", "canonical":
			continue
		}
		if len(words) == 0 {
			c.unusable = where
			return false
		}
		value := words[0]
		words = words[1:]
		holds := false
		switch criterion {
		case "host":
			holds = libsshHostMatches(value, strings.ToLower(c.host))
		case "user":
			holds = libsshHostMatches(value, strings.ToLower(c.user))
		case "localuser":
			holds = libsshHostMatches(value, strings.ToLower(c.localUser))
		case "originalhost":
		case "exec":
			c.unfollowed = append(c.unfollowed, where+": Match exec, whose command libssh runs and virt-pki does not")
			return false
		default:
			c.unusable = where
			return false
		}
		active = active && holds != negated
	}
	return active
}

func (c *sshConfig) include(pattern string) {
	pattern = c.expand(pattern)
	if !path.IsAbs(pattern) {
		return // relative to where the program runs
	}
	names, err := c.glob(pattern)
	if err != nil {
		return
	}
	for _, name := range names {
		c.file(name)
	}
}

// expand replaces a leading tilde and %d by the home, %h by the host.
func (c *sshConfig) expand(s string) string {
	if rest, ok := strings.CutPrefix(s, "~/"); ok {
		s = path.Join(c.home, rest)
	}
	return strings.NewReplacer("%%", "%", "%d", c.home, "%h", c.host, "%u", c.localUser, "%r", c.user).Replace(s)
}

// setting takes over a setting that has an effect under libvirt. User, IdentityFile and what concerns connecting have
// none.
func (c *sshConfig) setting(keyword, value, where string) {
	if c.seen[keyword] {
		return
	}
	shown, unfollowed := "", ""
	switch keyword {
	case "hostname":
		c.hostName, shown = c.expand(value), "HostName "+value+" is how known_hosts has to call the host"
	case "port":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > 65535 {
			return
		}
		c.port, shown = n, "Port "+value+" is the port that known_hosts has to name, not where libvirt connects"
	case "userknownhostsfile":
		c.userKnownHosts, shown = c.expand(value), "UserKnownHostsFile "+value+" takes the place of known_hosts="
	case "globalknownhostsfile":
		c.globalKnownHosts, shown = c.expand(value), "GlobalKnownHostsFile "+value+" takes the place of "+sshGlobalKnownHosts
	case "stricthostkeychecking":
		if strings.EqualFold(value, "no") {
			c.anyKey, shown = true, "StrictHostKeyChecking no has libssh take any key for the host's"
		}
	case "hostkeyalgorithms":
		if strings.ContainsAny(value[:min(1, len(value))], "+-^") {
			unfollowed = "HostKeyAlgorithms " + value
			break
		}
		for _, name := range strings.Split(value, ",") {
			if slices.Contains(libsshHostKeys, name) || name == ssh.KeyAlgoRSA {
				c.hostKeyAlgorithms = append(c.hostKeyAlgorithms, name)
			}
		}
		if len(c.hostKeyAlgorithms) > 0 { // else libssh keeps its own
			shown = "HostKeyAlgorithms " + value
		}
	case "kexalgorithms", "ciphers", "macs", "pubkeyacceptedalgorithms", "pubkeyacceptedtypes", "pubkeyacceptedkeytypes":
		unfollowed = keyword
	default:
		return
	}
	c.seen[keyword] = true
	if shown != "" {
		c.applied = append(c.applied, where+": "+shown)
	}
	if unfollowed != "" {
		c.unfollowed = append(c.unfollowed, where+": "+unfollowed)
	}
}

// readConfig reads what is known of the host, from where libvirt, or libssh's configuration, says. It reports false when
// the attempt has failed with it. For libssh2, which has no configuration, prepare has done it.
func (d *sshLogin) readConfig() bool {
	a := d.a
	d.userKnown, d.globalKnown = d.KnownHosts, sshGlobalKnownHosts
	if d.lib != uri.LibSSH {
		return true
	}
	d.config = sshConfig{host: a.Target.Host(), user: d.User, localUser: a.o.AccountName, home: a.o.AccountHome, read: a.o.ReadFile, glob: a.o.Glob}
	c := &d.config
	if c.glob == nil {
		c.glob = filepath.Glob
	}
	if c.home == "" {
		c.home = a.o.URI.Home
	}
	c.load()
	if c.unusable != "" {
		a.fail(finding.TransportFails, "libssh-config-unusable", c.unusable+": libssh does not know what Match asks for here, and stops", unknownError)
		return false
	}
	note := func(rule string, lines []string) {
		for _, line := range lines {
			a.Findings = append(a.Findings, ruleByID(rule).Finding(a.URI, line))
		}
	}
	note("libssh-config-applies", c.applied)
	note("libssh-config-not-followed", c.unfollowed)
	if c.anyKey {
		a.Findings = append(a.Findings, ruleByID("libssh-config-any-host-key").Finding(a.URI,
			"libssh takes any host key for that of "+a.Target.Host()+", a changed or revoked one too"))
	}
	if c.userKnownHosts != "" {
		d.userKnown = c.userKnownHosts
	}
	if c.globalKnownHosts != "" {
		d.globalKnown = c.globalKnownHosts
	}
	host, port := a.Target.Host(), int(a.Target.TCPPort())
	if c.hostName != "" {
		host = c.hostName
	}
	if c.port != 0 {
		port = c.port
	}
	read := func(name string) knownHosts {
		text, _ := a.o.ReadFile(name) // a missing or unreadable one is an empty one
		return libsshKnownHosts(text, host, port)
	}
	d.known, d.global = read(d.userKnown), read(d.globalKnown)
	return true
}
