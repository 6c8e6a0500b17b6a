package unit

import (
	"io/fs"
	"slices"
	"strings"
	"sync"
)

// A rank says whose units a directory of the search path holds.
type rank int

const (
	vendor    rank = iota
	config         // where systemctl enable writes
	global         // of a user's search path: what the administrator gave to all users
	control        // of systemctl set-property and of portable services: kept, and not systemctl enable's
	runtime        // until the next boot
	transient      // made by programs, until the next boot
	generator      // written by generators at each boot
)

// A place is a directory of the search path.
type place struct {
	path string
	rank rank
}

// volatile reports whether the directory's content goes away with a boot.
func (p place) volatile() bool {
	return p.rank == runtime || p.rank == transient || p.rank == generator
}

// systemPlaces is the search path of the system's units, the first wins (systemd.unit(5), "System Unit Search Path"; /lib, where it
// is another directory than /usr/lib, stands where Debian has it).
var systemPlaces = []place{
	{"/etc/systemd/system.control", control}, {"/run/systemd/system.control", runtime}, {"/run/systemd/transient", transient},
	{"/run/systemd/generator.early", generator}, {"/etc/systemd/system", config}, {"/etc/systemd/system.attached", control},
	{"/run/systemd/system", runtime}, {"/run/systemd/system.attached", runtime}, {"/run/systemd/generator", generator},
	{"/usr/local/lib/systemd/system", vendor}, {"/lib/systemd/system", vendor}, {"/usr/lib/systemd/system", vendor},
	{"/run/systemd/generator.late", generator},
}

// A User is where an ordinary user's manager looks for units; see [NewUser].
type User struct {
	// Home is the home directory. Config and Data are $XDG_CONFIG_HOME and $XDG_DATA_HOME, empty: below Home, and Runtime is
	// $XDG_RUNTIME_DIR, empty: there is none.
	Home, Config, Data, Runtime string
	// Name is the login name, for specifiers.
	Name string
}

// dirs puts the defaults in.
func (u User) dirs() User {
	u.Config, u.Data = cmpOr(u.Config, u.Home+"/.config"), cmpOr(u.Data, u.Home+"/.local/share")
	return u
}

// places is the search path of a user's units (systemd.unit(5), "User Unit Search Path").
func (u User) places() []place {
	u = u.dirs()
	all := []place{
		{u.Config + "/systemd/user.control", control}, {u.Runtime + "/systemd/user.control", runtime}, {u.Runtime + "/systemd/transient", transient},
		{u.Runtime + "/systemd/generator.early", generator}, {u.Config + "/systemd/user", config}, {"/etc/xdg/systemd/user", vendor},
		{"/etc/systemd/user", global}, {u.Runtime + "/systemd/user", runtime}, {"/run/systemd/user", runtime}, {u.Runtime + "/systemd/generator", generator},
		{u.Data + "/systemd/user", vendor}, {"/usr/local/share/systemd/user", vendor}, {"/usr/share/systemd/user", vendor},
		{"/usr/local/lib/systemd/user", vendor}, {"/usr/lib/systemd/user", vendor}, {u.Runtime + "/systemd/generator.late", generator},
	}
	if u.Runtime == "" {
		all = slices.DeleteFunc(all, func(p place) bool { return strings.HasPrefix(p.path, "/systemd/") })
	}
	return all
}

// New gives the system's units of the tree whose root is fsys; it should be able to read links (fs.ReadLinkFS), as that of
// os.DirFS and that of os.Root are.
func New(fsys fs.FS) *Tree {
	return newTree(fsys, systemPlaces, map[byte]string{'t': "/run", 'S': "/var/lib", 'C': "/var/cache", 'L': "/var/log", 'E': "/etc",
		'T': "/tmp", 'V': "/var/tmp", 'h': "/root", 'u': "root", 'g': "root", 'U': "0", 'G': "0"})
}

// NewUser gives the units that a user's manager (systemd --user) has in a tree: where a user's own libvirtd or virtproxyd is
// run by systemd, that is how.
func NewUser(fsys fs.FS, u User) *Tree {
	u = u.dirs()
	s := map[byte]string{'S': u.Config, 'L': u.Config + "/log", 'E': u.Config, 'T': "/tmp", 'V': "/var/tmp", 'h': u.Home, 'C': u.Home + "/.cache"}
	if u.Runtime != "" {
		s['t'] = u.Runtime
	}
	if u.Name != "" {
		s['u'] = u.Name
	}
	t := newTree(fsys, u.places(), s)
	t.user = true
	return t
}

func newTree(fsys fs.FS, places []place, specifiers map[byte]string) *Tree {
	t := &Tree{fsys: fsys, places: places, specifiers: specifiers, listings: &sync.Map{}}
	seen := map[string]bool{}
	for _, d := range places {
		real, info, err := t.resolve(d.path)
		if err != nil || !info.IsDir() || seen[real] || real != d.path && slices.ContainsFunc(places, func(p place) bool { return p.path == real }) {
			continue // /lib is /usr/lib on most machines
		}
		seen[real] = true
		t.dirs = append(t.dirs, d)
	}
	t.presetRules, t.aliasesOf = sync.OnceValue(t.presets), sync.OnceValue(t.readAliases)
	return t
}
