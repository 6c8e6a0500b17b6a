package probe

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the hash of known_hosts
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/ssh"
)

// A hostKeyVerdict says how a host's key stands to a known_hosts file.
type hostKeyVerdict int

const (
	hostKeyUnknown hostKeyVerdict = iota
	hostKeyKnown
	hostKeyChanged
)

// knownHosts are the entries of known_hosts files for one host.
type knownHosts struct {
	// keys are those stored for the host, as base64 of the key's encoding, in the order of the file.
	keys []string
}

// judge compares a host's key with those stored. stored is the first that differs.
func (k knownHosts) judge(key ssh.PublicKey) (v hostKeyVerdict, stored string) {
	have := base64.StdEncoding.EncodeToString(key.Marshal())
	for _, s := range k.keys {
		if s == have {
			return hostKeyKnown, ""
		}
	}
	if len(k.keys) > 0 {
		return hostKeyChanged, k.keys[0]
	}
	return hostKeyUnknown, ""
}

// types are the types of the stored keys.
func (k knownHosts) types() []string {
	var types []string
	for _, s := range k.keys {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			continue
		}
		if key, err := ssh.ParsePublicKey(b); err == nil {
			types = append(types, key.Type())
		}
	}
	return types
}

// libsshKnownHosts reads a file as libssh does (ssh_known_hosts_read_entries): the host is compared without case and with
// patterns, under [host]:port unless the port is 22; lines of other hosts are not looked at; a line of this host that
// cannot be read makes the whole file void.
func libsshKnownHosts(text []byte, host string, port int) knownHosts {
	name := strings.ToLower(host)
	if port != 22 {
		name = fmt.Sprintf("[%s]:%d", name, port)
	}
	var k knownHosts
	for _, line := range bytes.Split(text, []byte("\n")) {
		s := strings.TrimLeft(string(line), " \t")
		if s == "" || s[0] == '#' {
			continue
		}
		hosts, rest := cutBlank(s)
		if !libsshHostMatches(hosts, name) {
			continue
		}
		kind, rest := cutBlank(rest)
		encoded, _ := cutBlank(rest)
		b, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil || strings.Contains(encoded, "\r") {
			return knownHosts{}
		}
		key, err := ssh.ParsePublicKey(b)
		if err != nil || key.Type() != kind {
			return knownHosts{}
		}
		k.keys = append(k.keys, base64.StdEncoding.EncodeToString(b))
	}
	return k
}

func libsshHostMatches(hosts, name string) bool {
	if strings.HasPrefix(hosts, "|1|") {
		return hashedHostMatches(hosts, name)
	}
	found := false
	for _, p := range strings.Split(strings.ToLower(hosts), ",") {
		if negated, ok := strings.CutPrefix(p, "!"); ok {
			if wildcard(negated, name) {
				return false
			}
		} else if wildcard(p, name) {
			found = true
		}
	}
	return found
}

// libssh2KnownHosts reads a file as libssh2 does (libssh2_knownhost_readfile, libssh2_knownhost_checkp): names are
// compared to the letter, under [host]:port and then under the host alone; a single line that cannot be read makes it
// refuse the file, ok false; line is its number. Keys are compared as text.
func libssh2KnownHosts(text []byte, host string, port int) (k knownHosts, line int, ok bool) {
	type entry struct{ hosts, key string }
	var entries []entry
	for i, b := range bytes.Split(text, []byte("\n")) {
		s := strings.TrimLeft(string(b), " \t")
		if s == "" || s[0] == '#' {
			continue
		}
		hosts, rest := cutBlank(s)
		// 20 is the least that it takes for type and key together.
		if len(rest) < 20 {
			return knownHosts{}, i + 1, false
		}
		_, rest = cutBlank(rest)
		key, _ := cutBlank(rest)
		entries = append(entries, entry{hosts, key})
	}
	for _, name := range []string{fmt.Sprintf("[%s]:%d", host, port), host} {
		for _, e := range entries {
			if libssh2HostMatches(e.hosts, name) {
				k.keys = append(k.keys, e.key)
			}
		}
	}
	return k, 0, true
}

func libssh2HostMatches(hosts, name string) bool {
	if strings.HasPrefix(hosts, "|1|") {
		return hashedHostMatches(hosts, name)
	}
	for _, p := range strings.Split(hosts, ",") {
		if p == name {
			return true
		}
	}
	return false
}

// hashedHostMatches compares with |1|SALT|HASH: an HMAC-SHA1 of the name.
func hashedHostMatches(hashed, name string) bool {
	parts := strings.Split(hashed, "|")
	if len(parts) != 4 {
		return false
	}
	salt, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil {
		return false
	}
	want, err := base64.StdEncoding.DecodeString(parts[3])
	if err != nil {
		return false
	}
	h := hmac.New(sha1.New, salt)
	h.Write([]byte(name))
	return hmac.Equal(h.Sum(nil), want)
}

// cutBlank cuts at the first run of blanks and tabs.
func cutBlank(s string) (word, rest string) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimLeft(s[i:], " \t")
}

// wildcard matches * and ?, in time linear in both for each star.
func wildcard(pattern, s string) bool {
	p, i, star, from := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, from = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			from++
			p, i = star+1, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
