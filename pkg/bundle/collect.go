package bundle

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"syscall"

	"github.com/virt-pki/virt-pki/pkg/layout"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// Options say how to collect. The zero value takes everything from the tree.
type Options struct {
	// Name is how other hosts call this one. Empty: the host name with its domain, as /etc/hosts or Canonical has it.
	Name string
	// Hostname is how the host calls itself. Empty: /etc/hostname.
	Hostname string
	// Canonical gives the full name of a host name; nil, or an empty answer: it is looked up in /etc/hosts only.
	Canonical func(host string) string
	// Homes are home directories besides /root and those in /home.
	Homes []string
	// PKIPaths are further flat directories that URIs have for pkipath.
	PKIPaths []string
	// Labels are the host's SELinux labels and policy; nil: they are not noted.
	Labels *layout.Labels
}

// A Bundle is what was collected of one host.
type Bundle struct {
	Manifest Manifest
	files    map[string][]byte // content by path, as it is passed on
}

// part says what a file holds, and with it what of it is passed on.
type part int

const (
	exists     part = iota // nothing
	pemFile                // certificates and revocation lists
	keyFile                // nothing; the public half is told
	confFile               // libvirt's settings
	unitFile               // a unit
	argFile                // variables
	saslFile               // mech_list
	publicFile             // all: /etc/services
)

// collector is Collect at work.
type collector struct {
	fsys    fs.FS
	o       Options
	entries map[string]*Entry
	files   map[string][]byte
	users   map[int]string
	groups  map[int]string
	// credentials are the paths of the layouts.
	credentials map[string]bool
}

// Collect gathers what verdicts about a host's TLS rest on, from a tree that is the host's /. What cannot be read is noted
// in the manifest and is no error. The error says that there is nothing to collect from.
func Collect(fsys fs.FS, o Options) (*Bundle, error) {
	if _, err := fs.Stat(fsys, "."); err != nil {
		return nil, fmt.Errorf("collecting: %w", err)
	}
	c := &collector{fsys: fsys, o: o, entries: map[string]*Entry{}, files: map[string][]byte{}, credentials: map[string]bool{}}
	c.users, c.groups = c.numbers("/etc/passwd"), c.numbers("/etc/group")
	m := Manifest{Schema: Schema, Hostname: o.Hostname, Name: o.Name}
	if m.Hostname == "" {
		text, _ := c.peek("/etc/hostname")
		m.Hostname = strings.TrimSpace(string(text))
	}
	if m.Name == "" {
		m.Name = c.fullName(m.Hostname)
	}
	if m.Name == "" {
		return nil, &NamelessError{}
	}
	m.OS = c.release()
	m.Libvirt, m.GnuTLS = c.versions()
	m.PKIPaths = c.all()
	if c.labels(); o.Labels != nil {
		m.SELinux = string(o.Labels.Mode)
	}
	for _, e := range c.entries {
		sort.Strings(e.LeftOut)
		m.Entries = append(m.Entries, *e)
	}
	sort.Slice(m.Entries, func(i, j int) bool { return m.Entries[i].Path < m.Entries[j].Path })
	return &Bundle{m, c.files}, nil
}

// A NamelessError says that the tree does not tell its host's name.
type NamelessError struct{}

// Error says so.
func (*NamelessError) Error() string {
	return "the host's name is not known: /etc/hostname is missing or empty"
}

// Hints names the option.
func (*NamelessError) Hints() []string { return []string{"say it with --name kvm1.example.com"} }

// peek reads a file of the tree without noting it.
func (c *collector) peek(name string) ([]byte, error) {
	real, info, err := follow(c.fsys, name, nil)
	if err != nil {
		return nil, err
	}
	return readRegular(c.fsys, real, info)
}

// entry notes what stands at a path.
func (c *collector) entry(name string, info fs.FileInfo) *Entry {
	if e := c.entries[name]; e != nil && e.Type != Unknown {
		return e
	}
	mode := info.Mode()
	e := &Entry{Path: name, Type: Special, Mode: octal(mode)}
	switch {
	case mode.IsRegular():
		e.Type = Regular
	case mode.IsDir():
		e.Type = Directory
	case mode&fs.ModeSymlink != 0:
		e.Type = Symlink
		e.Link, _ = fs.ReadLink(c.fsys, strings.TrimPrefix(name, "/"))
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		e.UID, e.GID = int(st.Uid), int(st.Gid)
		e.Owner, e.Group = c.users[e.UID], c.groups[e.GID]
	}
	c.entries[name] = e
	return e
}

// add notes a path with all that leads to it, and takes its content as far as what allows. It gives the content as the host
// has it, of what is to be passed on, for those who look there for more names.
func (c *collector) add(name string, what part) []byte {
	if !strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0) {
		return nil
	}
	real, info, err := follow(c.fsys, name, func(p string, info fs.FileInfo) { c.entry(p, info) })
	if err != nil {
		if p := "/" + real; !absent(err) && cleanPath(p) && c.entries[p] == nil {
			c.entries[p] = &Entry{Path: p, Type: Unknown, Error: reason(err).Error()}
		}
		return nil
	}
	if real == "." || !cleanPath("/"+real) {
		return nil
	}
	e := c.entry("/"+real, info)
	if what == exists || e.Type != Regular {
		return nil
	}
	text, err := readRegular(c.fsys, real, info)
	if err != nil {
		e.Error = reason(err).Error()
		if what == keyFile && e.Key == nil {
			e.Key = &Key{}
		}
		return nil
	}
	if what == keyFile {
		e.Key = keyOf(verify.Withhold(text))
		if !e.Content {
			e.say("the private key")
		}
		return nil
	}
	if e.Content {
		return text
	}
	var left []string
	kept := text
	switch what {
	case pemFile:
		kept, left = stripPEM(text)
	case confFile:
		kept, left = redactConf(text, name)
	case unitFile:
		kept, left = redactUnit(text)
	case argFile:
		kept, left = redactVariables(text)
	case saslFile:
		kept, left = redactSASL(text)
	}
	e.Content = true
	e.LeftOut = slices.DeleteFunc(e.LeftOut, func(s string) bool { return s == "the private key" })
	for _, l := range left {
		e.say(l)
	}
	c.files["/"+real] = kept
	return text
}

func (e *Entry) say(left string) {
	if !slices.Contains(e.LeftOut, left) {
		e.LeftOut = append(e.LeftOut, left)
	}
}

// list gives the names in a directory, which is noted.
func (c *collector) list(dir string) []string {
	real, info, err := follow(c.fsys, dir, func(p string, info fs.FileInfo) { c.entry(p, info) })
	if err != nil || !info.IsDir() {
		return nil
	}
	entries, err := fs.ReadDir(c.fsys, real)
	if err != nil {
		if e := c.entries["/"+real]; e != nil {
			e.Error = reason(err).Error()
		}
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Unread lists the files that whoever collected could not look at, with the reason.
func (b *Bundle) Unread() []string {
	var out []string
	for _, e := range b.Manifest.Entries {
		if e.Error != "" {
			out = append(out, e.Path+": "+e.Error)
		}
	}
	return out
}

// LeftOut lists what was taken out of which file.
func (b *Bundle) LeftOut() []string {
	var out []string
	for _, e := range b.Manifest.Entries {
		if len(e.LeftOut) > 0 {
			out = append(out, e.Path+": "+strings.Join(e.LeftOut, ", "))
		}
	}
	return out
}

// Content gives a file's content as it is passed on.
func (b *Bundle) Content(name string) ([]byte, bool) {
	text, ok := b.files[name]
	return text, ok
}

func join(dir, name string) string { return path.Join(dir, name) }
