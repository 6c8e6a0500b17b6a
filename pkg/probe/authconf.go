package probe

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"
)

// unknownError is what libvirt prints when it failed without saying why.
const unknownError = "An error occurred, but the cause is unknown"

// systemAuthConf is the auth.conf of the machine.
const systemAuthConf = "/etc/libvirt/auth.conf"

// An authConf is libvirt's auth.conf: GLib's key files, of which [auth-SERVICE-HOST] names a group [credentials-NAME].
type authConf struct {
	path   string
	groups map[string]map[string]string
}

// authConf finds and reads the auth.conf that applies (virAuthGetConfigFilePathURI): LIBVIRT_AUTH_FILE, authfile= of the
// URI, the caller's, the machine's. Only the last two may be missing; then there is none, nil. The error is in libvirt's
// words, the reason behind it in reason.
func (a *attempt) authConf() (c *authConf, reason string, err error) {
	path, named := a.o.lookupEnv("LIBVIRT_AUTH_FILE")
	if !named {
		path, named = a.Target.Param("authfile")
	}
	if !named {
		for _, p := range []string{a.o.URI.ConfigDir() + "/auth.conf", systemAuthConf} {
			if a.exists(p) {
				path, named = p, true
				break
			}
		}
	}
	if !named {
		return nil, "", nil
	}
	b, err := a.o.ReadFile(path)
	if err != nil {
		text := strerror(err)
		if errors.Is(err, fs.ErrNotExist) {
			text = "No such file or directory"
		}
		return nil, fmt.Sprintf("%s: %s", path, text), errors.New(unknownError) //lint:ignore ST1005 libvirt's text
	}
	c = &authConf{path: path}
	if reason := c.parse(string(b)); reason != "" {
		return nil, reason, errors.New(unknownError) //lint:ignore ST1005 libvirt's text
	}
	return c, "", nil
}

// parse reads a key file (GKeyFile); the reason is empty when it is one.
func (c *authConf) parse(text string) (reason string) {
	c.groups = map[string]map[string]string{}
	if !utf8.ValidString(text) {
		return c.path + ": not UTF-8"
	}
	var group map[string]string
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSuffix(line, "\r")
		trimmed := strings.TrimLeft(line, " \t\v\f\r")
		switch {
		case trimmed == "", trimmed[0] == '#':
		case trimmed[0] == '[':
			name, rest, ok := strings.Cut(trimmed[1:], "]")
			if !ok || name == "" || strings.ContainsAny(name, "[") || strings.TrimSpace(rest) != "" {
				return fmt.Sprintf("%s:%d: not a group in brackets", c.path, i+1)
			}
			if group = c.groups[name]; group == nil {
				group = map[string]string{}
				c.groups[name] = group
			}
		default:
			key, value, ok := strings.Cut(trimmed, "=")
			if key = strings.TrimRight(key, " \t\v\f\r"); !ok || key == "" {
				return fmt.Sprintf("%s:%d: neither group, comment nor KEY=VALUE", c.path, i+1)
			}
			if group == nil {
				return fmt.Sprintf("%s:%d: a key before the first group", c.path, i+1)
			}
			group[key] = strings.TrimLeft(value, " \t\v\f\r")
		}
	}
	return ""
}

// lookup gives a credential for a service on a host (virAuthConfigLookup). The error is in libvirt's words.
func (c *authConf) lookup(service, host, name string) (value string, ok bool, err error) {
	if c == nil {
		return "", false, nil
	}
	group := "auth-" + service + "-" + host
	if c.groups[group] == nil {
		if group = "auth-" + service + "-default"; c.groups[group] == nil {
			return "", false, nil
		}
	}
	credentials := unescape(c.groups[group]["credentials"])
	if _, ok := c.groups[group]["credentials"]; !ok {
		return "", false, fmt.Errorf("configuration file syntax error: Missing item 'credentials' in group '%s' in '%s'", group, c.path)
	}
	set := c.groups["credentials-"+credentials]
	if set == nil {
		return "", false, fmt.Errorf("configuration file syntax error: Missing group 'credentials-%s' referenced from group '%s' in '%s'",
			credentials, group, c.path)
	}
	value, ok = set[name]
	return unescape(value), ok, nil
}

// unescape undoes GKeyFile's backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	return strings.NewReplacer(`\s`, " ", `\n`, "\n", `\t`, "\t", `\r`, "\r", `\\`, `\`).Replace(s)
}

// answer asks for a credential, in libvirt's words. Where nobody can be asked the answer is empty, as it is for virsh
// at the end of its input.
func (a *attempt) answer(prompt string, echo bool) (text string, asked bool, err error) {
	if a.o.Ask == nil {
		return "", false, nil
	}
	text, err = a.o.Ask(prompt, echo)
	return text, true, err
}
