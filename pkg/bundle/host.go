package bundle

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/internal/archive"
	"github.com/virt-pki/virt-pki/pkg/verify"
)

// A Host is one machine's files: those that were collected of it, or a tree that is to be laid over its /. It may be used by
// several goroutines.
type Host struct {
	// Name is how others call it, Source where its files were read from.
	Name, Source string
	// Manifest is what was told of it; nil for a plain tree.
	Manifest *Manifest

	fsys fs.FS
	keys map[string]*verify.WithheldKey
}

// Host gives what was collected as a host.
func (b *Bundle) Host() *Host {
	h := &Host{Name: b.Manifest.Name, Manifest: &b.Manifest, fsys: newCollected(b.Manifest, b.files), keys: map[string]*verify.WithheldKey{}}
	for _, e := range b.Manifest.Entries {
		if e.Key != nil {
			h.keys[e.Path], _ = e.Key.withheld() // parseManifest has seen it
		}
	}
	return h
}

// Tree gives a directory that stands for a machine's / as a host, with whatever keys are in it. An empty name is that of
// etc/hostname, or the directory's own.
func Tree(dir, name string) *Host {
	h := &Host{Name: name, Source: dir, fsys: disk(dir)}
	if name == "" {
		c := &collector{fsys: h.fsys}
		text, _ := c.peek("/etc/hostname")
		h.Name = c.fullName(strings.TrimSpace(string(text)))
	}
	if h.Name == "" {
		h.Name = filepath.Base(dir)
		if abs, err := filepath.Abs(dir); err == nil {
			h.Name = filepath.Base(abs)
		}
	}
	return h
}

// FS gives the files by the paths of the host, with its owners and modes. Links on the way to a file are followed as they
// lead on the host; fs.Lstat and fs.ReadLink see one at the end of a path as a link.
func (h *Host) FS() fs.FS { return followed{h.fsys} }

// ReadFile reads a file by its name on the host.
func (h *Host) ReadFile(name string) ([]byte, error) {
	real, info, err := follow(h.fsys, name, nil)
	if err != nil {
		return nil, named(err, name)
	}
	text, err := readRegular(h.fsys, real, info)
	if err != nil {
		return nil, &fs.PathError{Op: "read", Path: name, Err: reason(err)}
	}
	return text, nil
}

func named(err error, name string) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return &fs.PathError{Op: pe.Op, Path: name, Err: pe.Err}
	}
	return err
}

// Exists reports whether there is something of that name, as access(2) would. Of what whoever collected could not look at it is
// taken to be there, except the files of further identities.
func (h *Host) Exists(name string) bool {
	_, _, err := follow(h.fsys, name, nil)
	if err == nil || absent(err) {
		return err == nil
	}
	base := strings.TrimSuffix(path.Base(name), ".pem")
	return strings.TrimRight(base, "0123456789") == base
}

// Real gives a directory's name without links.
func (h *Host) Real(dir string) string {
	if real, _, err := follow(h.fsys, dir, nil); err == nil {
		return path.Join("/", real)
	}
	return dir
}

// Withheld gives what is known of a private key that was left out; nil where the file is there as it is, or not at all.
func (h *Host) Withheld(name string) *verify.WithheldKey {
	if h.Manifest == nil {
		return nil
	}
	real, info, err := follow(h.fsys, name, nil)
	switch {
	case err != nil && absent(err):
		return nil
	case err != nil:
		return &verify.WithheldKey{}
	case !info.Mode().IsRegular():
		return nil
	}
	if k := h.keys["/"+real]; k != nil {
		return k
	}
	if _, err := readRegular(h.fsys, real, info); err != nil {
		return &verify.WithheldKey{}
	}
	return nil
}

// The bounds of what an archive may unpack to, and of the directories that its paths, or a manifest's, may name.
const (
	maxArchive = 512 << 20
	maxMembers = 100_000
	maxPath    = 4096 // PATH_MAX
	maxDepths  = 10 * maxMembers
)

var errTooDeep = errors.New("it names too many directories")

// A FormatError says why something is no bundle.
type FormatError struct {
	Path string
	Err  error
}

// Error names the path.
func (e *FormatError) Error() string { return fmt.Sprintf("reading the bundle %q: %v", e.Path, e.Err) }

// Unwrap gives the cause.
func (e *FormatError) Unwrap() error { return e.Err }

// Hints names what makes bundles.
func (e *FormatError) Hints() []string {
	return []string{"virt-pki collect -o HOST.tar.gz, run on the host, makes a bundle"}
}

var errNoManifest = errors.New("it has no " + ManifestName)

// Read reads a bundle's archive. Nothing is unpacked to disk, and what is no plain file or directory is refused.
func Read(r io.Reader) (*Bundle, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("it is no .tar.gz: %w", err)
	}
	files := map[string][]byte{}
	top := ""
	err = members(z, func(h *tar.Header, name string, text []byte) error {
		first, name, _ := strings.Cut(name, "/")
		if top == "" {
			top = first
		}
		switch {
		case first != top:
			return fmt.Errorf("the member %q is outside of its directory", h.Name)
		case h.Typeflag == tar.TypeDir:
			return nil
		case name == "":
			return fmt.Errorf("the member %q is no file and no directory", h.Name)
		}
		files["/"+name] = text
		return nil
	})
	if err != nil {
		return nil, err
	}
	return assemble(files)
}

// members reads an archive's files and directories; everything else in it is refused. Names are relative and plain.
func members(r io.Reader, each func(h *tar.Header, name string, text []byte) error) error {
	t := tar.NewReader(io.LimitReader(r, maxArchive))
	seen := map[string]bool{}
	depths := 0
	for n := 0; ; n++ {
		h, err := t.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		case n >= maxMembers:
			return fmt.Errorf("it has more than %d members", maxMembers)
		}
		name := strings.TrimSuffix(strings.TrimPrefix(h.Name, "./"), "/")
		depths += 1 + strings.Count(name, "/")
		switch {
		case len(name) > maxPath:
			return fmt.Errorf("the member %q... has a name of more than %d octets", name[:40], maxPath)
		case depths > maxDepths:
			return errTooDeep
		case h.Typeflag == tar.TypeDir && (name == "" || name == "."):
			continue
		case !fs.ValidPath(name) || name == ".":
			return fmt.Errorf("the member %q is outside of its directory", h.Name)
		case h.Typeflag != tar.TypeDir && h.Typeflag != tar.TypeReg:
			return fmt.Errorf("the member %q is no file and no directory", h.Name)
		case archive.Sparse(h):
			return fmt.Errorf("the member %q is sparse", h.Name)
		case h.Size > maxFile:
			return fmt.Errorf("the member %q: %w", h.Name, errTooLarge)
		case seen[name] && h.Typeflag == tar.TypeReg:
			return fmt.Errorf("the member %q is there twice", h.Name)
		}
		seen[name] = true
		text, err := io.ReadAll(t)
		if err != nil {
			return err
		}
		if err := each(h, name, text); err != nil {
			return err
		}
	}
}

// ReadTree reads an archive, a .tar or .tar.gz, of a tree that is to be laid over a machine's /: with etc, home or root at its
// top, or all in one directory. It gives the tree with the modes and owners that the archive has.
func ReadTree(r io.Reader) (fs.FS, error) {
	b := bufio.NewReader(r)
	var in io.Reader = b
	if magic, _ := b.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, err
		}
		in = z
	}
	var m Manifest
	files := map[string][]byte{}
	top, all := "", true
	err := members(in, func(h *tar.Header, name string, text []byte) error {
		first, _, _ := strings.Cut(name, "/")
		if top == "" {
			top = first
		}
		all = all && first == top
		e := Entry{Path: "/" + name, Type: Regular, Mode: octal(h.FileInfo().Mode()), UID: h.Uid, GID: h.Gid}
		if h.Typeflag == tar.TypeDir {
			e.Type = Directory
		} else {
			files["/"+name] = text
		}
		m.Entries = append(m.Entries, e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	tree := fs.FS(newCollected(m, files))
	if all && top != "" && top != "etc" && top != "home" && top != "root" {
		return fs.Sub(tree, top)
	}
	return tree, nil
}

// assemble puts manifest and files together. What the manifest does not name is no part of the bundle.
func assemble(files map[string][]byte) (*Bundle, error) {
	text, ok := files["/"+ManifestName]
	if !ok {
		return nil, errNoManifest
	}
	m, err := parseManifest(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	b := &Bundle{Manifest: m, files: map[string][]byte{}}
	for _, e := range m.Entries {
		if !e.Content || e.Type != Regular {
			continue
		}
		if b.files[e.Path], ok = files[e.Path]; !ok {
			return nil, fmt.Errorf("%s names %q, which is missing", ManifestName, e.Path)
		}
	}
	return b, nil
}

// readDir reads a bundle that is a directory.
func readDir(dir string) (*Bundle, error) {
	d := disk(dir)
	files := map[string][]byte{}
	load := func(name string) error {
		info, err := d.Lstat(name)
		if err != nil {
			return err
		}
		text, err := readRegular(d, name, info)
		files["/"+name] = text
		return err
	}
	if err := load(ManifestName); err != nil {
		return nil, err
	}
	m, err := parseManifest(files["/"+ManifestName])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	for _, e := range m.Entries {
		if e.Content && e.Type == Regular {
			if err := load(e.Path[1:]); err != nil {
				return nil, err
			}
		}
	}
	return assemble(files)
}

// Load reads hosts: a bundle's archive or directory, a tree that stands for a machine's /, or a directory of all these.
// They are sorted by name. In a directory what is none of them is passed over.
func Load(name string) ([]*Host, error) {
	info, err := os.Stat(name)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, fmt.Errorf("reading the host %q: %w", name, err)
	}
	if !info.IsDir() {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		b, err := Read(f)
		if err != nil {
			return nil, &FormatError{name, err}
		}
		return []*Host{b.from(name)}, nil
	}
	if host, err := loadOne(name); host != nil || err != nil {
		return []*Host{host}, err
	}
	entries, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	var hosts []*Host
	for _, e := range entries {
		full := filepath.Join(name, e.Name())
		switch {
		case strings.HasPrefix(e.Name(), "."):
		case e.IsDir():
			host, err := loadOne(full)
			if err != nil {
				return nil, err
			}
			if host != nil {
				hosts = append(hosts, host)
			}
		case e.Type().IsRegular() && (strings.HasSuffix(e.Name(), ".tar.gz") || strings.HasSuffix(e.Name(), ".tgz")):
			more, err := Load(full)
			if err != nil {
				return nil, err
			}
			hosts = append(hosts, more...)
		}
	}
	if len(hosts) == 0 {
		return nil, &FormatError{name, errors.New("there is no bundle and no host's tree in it")}
	}
	sort.SliceStable(hosts, func(i, j int) bool { return hosts[i].Name < hosts[j].Name })
	return hosts, nil
}

// Recognise gives the host of a bundle, which is an archive or a directory with a manifest. It gives nil for a directory that has
// none, and for what is not there.
func Recognise(name string) (*Host, error) {
	info, err := os.Stat(name)
	if name == "" || err != nil {
		return nil, nil
	}
	if info.IsDir() {
		if _, err := os.Lstat(filepath.Join(name, ManifestName)); err != nil {
			return nil, nil
		}
		return loadOne(name)
	}
	if !strings.HasSuffix(name, ".tar.gz") && !strings.HasSuffix(name, ".tgz") {
		return nil, nil
	}
	hosts, err := Load(name)
	if err != nil {
		return nil, err
	}
	return hosts[0], nil
}

// loadOne reads a directory that is one host; nil: it is none.
func loadOne(dir string) (*Host, error) {
	if _, err := os.Lstat(filepath.Join(dir, ManifestName)); err == nil {
		b, err := readDir(dir)
		if err != nil {
			return nil, &FormatError{dir, err}
		}
		return b.from(dir), nil
	}
	for _, mark := range []string{"etc/pki", "etc/libvirt", "root/.pki"} {
		if _, err := os.Lstat(filepath.Join(dir, mark)); err == nil {
			return Tree(dir, ""), nil
		}
	}
	if homes, _ := filepath.Glob(filepath.Join(escaped(dir), "home/*/.pki")); len(homes) > 0 {
		return Tree(dir, ""), nil
	}
	return nil, nil
}

func (b *Bundle) from(source string) *Host {
	h := b.Host()
	h.Source = source
	return h
}

// escaped makes a pattern of a path that means just it.
func escaped(dir string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(dir)
}

// Unread lists what whoever collected could not look at, with the reason.
func (h *Host) Unread() []string {
	if h.Manifest == nil {
		return nil
	}
	return (&Bundle{Manifest: *h.Manifest}).Unread()
}

// Homes lists the home directories with credentials in them.
func (h *Host) Homes() []string {
	var out []string
	for _, home := range append([]string{"/root"}, h.names("/home")...) {
		if h.Exists(path.Join(home, ".pki/libvirt")) {
			out = append(out, home)
		}
	}
	return out
}

func (h *Host) names(dir string) []string {
	real, _, err := follow(h.fsys, dir, nil)
	if err != nil {
		return nil
	}
	var out []string
	entries, _ := fs.ReadDir(h.fsys, real)
	for _, e := range entries {
		out = append(out, path.Join(dir, e.Name()))
	}
	return out
}
