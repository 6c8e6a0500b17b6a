package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"

	"github.com/virt-pki/virt-pki/pkg/verify"
)

// ManifestName is the name of the manifest in a bundle's root.
const ManifestName = "virt-pki-bundle.json"

// Schema is the version of the manifest's form.
const Schema = 1

// A Manifest says whose files a bundle holds, and what is known of each.
type Manifest struct {
	Schema int `json:"schema"`
	// Name is how other hosts call this one, Hostname how it calls itself.
	Name     string `json:"name"`
	Hostname string `json:"hostname"`
	// Libvirt and GnuTLS are the installed versions, as the package or the library's file name says them; empty: not known.
	Libvirt string `json:"libvirt,omitempty"`
	GnuTLS  string `json:"gnutls,omitempty"`
	// OS are ID, VERSION_ID and PRETTY_NAME of /etc/os-release.
	OS Release `json:"os"`
	// SELinux is enforcing, permissive or disabled; empty: there is none, or it was not looked at.
	SELinux string `json:"selinux,omitempty"`
	// PKIPaths are further directories that were collected because the caller or libvirt.conf named them.
	PKIPaths []string `json:"pkipaths,omitempty"`
	// Entries are sorted by path.
	Entries []Entry `json:"entries"`
}

// A Release is what /etc/os-release says.
type Release struct {
	ID      string `json:"id,omitempty"`
	Version string `json:"version,omitempty"`
	Name    string `json:"name,omitempty"`
}

// A Type is what stands at a path.
type Type string

// The types. What does not exist has no entry.
const (
	Regular   Type = "file"
	Directory Type = "directory"
	Symlink   Type = "symlink"
	Special   Type = "special" // a socket, a pipe, a device
	// Unknown is what could not be looked at; Entry.Error says why.
	Unknown Type = "unknown"
)

// An Entry is one path with what is known of it.
type Entry struct {
	Path string `json:"path"`
	Type Type   `json:"type"`
	// Mode is the permission in octal, with set-user-ID, set-group-ID and sticky bits.
	Mode string `json:"mode,omitempty"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
	// Owner and Group are the names on that machine, where /etc/passwd and /etc/group have them.
	Owner string `json:"owner,omitempty"`
	Group string `json:"group,omitempty"`
	// Link is where a symbolic link leads.
	Link string `json:"link,omitempty"`
	// Content says that the content is in the bundle, LeftOut what of it is not.
	Content bool     `json:"content,omitempty"`
	LeftOut []string `json:"left_out,omitempty"`
	// Key is what is known of a private key.
	Key *Key `json:"key,omitempty"`
	// SELinux is the label of a credential file, where there is SELinux.
	SELinux *LabelEntry `json:"selinux,omitempty"`
	// Error says why the content, or the path as a whole, could not be looked at by whoever collected.
	Error string `json:"error,omitempty"`
}

// A Key is a private key of which nothing but its public half is told.
type Key struct {
	// PublicKey is the SHA-256 of the SubjectPublicKeyInfo in hexadecimal; empty: the key could not be read.
	PublicKey string `json:"public_key_sha256,omitempty"`
	// Rule, Message and Words say why it could not be read, as verify.Withhold gives them.
	Rule    string `json:"rule,omitempty"`
	Message string `json:"message,omitempty"`
	Words   string `json:"words,omitempty"`
}

// permission bits that a mode in a manifest may have
const modeBits = 0o7777

// fileMode gives the entry's mode as package fs has it.
func (e Entry) fileMode() fs.FileMode {
	n, _ := strconv.ParseUint(e.Mode, 8, 32)
	m := fs.FileMode(n) & fs.ModePerm
	for bit, flag := range map[uint64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if n&bit != 0 {
			m |= flag
		}
	}
	switch e.Type {
	case Directory:
		m |= fs.ModeDir
	case Symlink:
		m |= fs.ModeSymlink
	case Special:
		m |= fs.ModeSocket
	case Unknown:
		m |= fs.ModeIrregular
	}
	return m
}

func octal(m fs.FileMode) string {
	n := uint32(m.Perm())
	for bit, flag := range map[uint32]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&flag != 0 {
			n |= bit
		}
	}
	return fmt.Sprintf("%04o", n)
}

// marshal writes the manifest, the same for the same host every time.
func (m Manifest) marshal() ([]byte, error) {
	b, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}

// parseManifest reads a manifest and refuses one that leaves its tree or contradicts itself. Each entry is judged as it is
// read: a text of many small ones that are none does not become a list of large ones first.
func parseManifest(text []byte) (Manifest, error) {
	type plain Manifest
	var m struct {
		plain
		Entries json.RawMessage `json:"entries"`
	}
	if err := json.Unmarshal(text, &m); err != nil {
		return Manifest{}, err
	}
	out := Manifest(m.plain)
	if out.Schema != Schema {
		return out, fmt.Errorf("schema %d is not %d, the one that this virt-pki reads", out.Schema, Schema)
	}
	if out.Name == "" {
		return out, errors.New("the host has no name")
	}
	seen := map[string]bool{}
	depths := 0
	err := eachElement(m.Entries, func(d *json.Decoder) error {
		var e Entry
		if err := d.Decode(&e); err != nil {
			return err
		}
		depths += strings.Count(e.Path, "/")
		switch {
		case depths > maxDepths:
			return errTooDeep
		case !cleanPath(e.Path):
			return fmt.Errorf("the path %q is not absolute and plain", e.Path)
		case seen[e.Path]:
			return fmt.Errorf("the path %q is there twice", e.Path)
		}
		seen[e.Path] = true
		out.Entries = append(out.Entries, e)
		return e.check()
	})
	if err != nil {
		return out, err
	}
	sort.Slice(out.Entries, func(i, j int) bool { return out.Entries[i].Path < out.Entries[j].Path })
	return out, nil
}

// eachElement calls f for each element of a JSON array; there may be none, or null.
func eachElement(array json.RawMessage, f func(*json.Decoder) error) error {
	if len(array) == 0 || string(array) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(array))
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return errors.New("the entries are no list")
	}
	for d.More() {
		if err := f(d); err != nil {
			return err
		}
	}
	return nil
}

// check refuses what an entry cannot be.
func (e Entry) check() error {
	switch e.Type {
	case Regular, Directory, Symlink, Special, Unknown:
	default:
		return fmt.Errorf("%q is of the unknown type %q", e.Path, e.Type)
	}
	if n, err := strconv.ParseUint(e.Mode, 8, 32); e.Mode != "" && (err != nil || n > modeBits) {
		return fmt.Errorf("%q has %q for a mode", e.Path, e.Mode)
	}
	if e.Key != nil && e.Key.PublicKey != "" {
		if _, err := e.Key.withheld(); err != nil {
			return fmt.Errorf("%q: %w", e.Path, err)
		}
	}
	return nil
}

// cleanPath reports whether a path is absolute, without "." and "..", no longer than the system has them, and not the manifest's.
func cleanPath(p string) bool {
	return len(p) <= maxPath && strings.HasPrefix(p, "/") && path.Clean(p) == p && !strings.ContainsRune(p, 0) && p != "/"+ManifestName
}

// withheld gives the key as package verify takes it.
func (k Key) withheld() (*verify.WithheldKey, error) {
	w := &verify.WithheldKey{Rule: k.Rule, Message: k.Message, Words: k.Words}
	if k.PublicKey == "" {
		return w, nil
	}
	id, err := hex.DecodeString(k.PublicKey)
	if err != nil || len(id) != sha256.Size {
		return nil, fmt.Errorf("the public key's %q is no SHA-256", k.PublicKey)
	}
	w.PublicKey = id
	return w, nil
}

func keyOf(w verify.WithheldKey) *Key {
	return &Key{PublicKey: hex.EncodeToString(w.PublicKey), Rule: w.Rule, Message: w.Message, Words: w.Words}
}
