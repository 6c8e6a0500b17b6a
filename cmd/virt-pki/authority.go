package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/virt-pki/virt-pki/pkg/ca"
	"github.com/virt-pki/virt-pki/pkg/certs"
	"github.com/virt-pki/virt-pki/pkg/cluster"
	"github.com/virt-pki/virt-pki/pkg/layout"
)

// Which authority a command is about, and where the files are that it has made.

// authorityFlags name the authority.
func authorityFlags() []cli.Flag {
	return []cli.Flag{authorityFlag("./authority, else ."), databaseFlag()}
}

func authorityFlag(otherwise string) cli.Flag {
	return &cli.StringFlag{Name: "authority", Usage: "`DIR`: the authority", DefaultText: otherwise}
}

func databaseFlag() cli.Flag {
	return &cli.StringFlag{Name: "db", Usage: "`URL`: the inventory in PostgreSQL (postgres://USER@HOST/DATABASE), or another file", DefaultText: "$" + databaseVariable + ", or where the authority says"}
}

// databaseVariable is the environment variable for --db.
const databaseVariable = "VIRT_PKI_DB"

// besidePlaces is where authorityDir looks in a command that has --out and --pkipath.
const besidePlaces = "authority in --out or --pkipath, else ./authority, else ."

// openAuthority opens the authority that the flags name.
func (p *program) openAuthority(c *cli.Context) (*ca.Authority, error) {
	dir, err := authorityDir(c)
	if err != nil {
		return nil, err
	}
	return p.openAuthorityIn(c, dir)
}

// authorityDir gives the directory of the authority that the flags name.
func authorityDir(c *cli.Context) (string, error) {
	if dir := c.String("authority"); dir != "" {
		return dir, nil
	}
	candidates := []string{}
	for _, f := range []string{"out", "pkipath"} {
		for _, value := range values(c, f) {
			candidates = append(candidates, filepath.Join(value, cluster.AuthorityName))
		}
	}
	candidates = append(candidates, cluster.AuthorityName, ".")
	for _, candidate := range candidates {
		if _, err := os.Stat(filepath.Join(candidate, "authority.json")); err == nil || errors.Is(err, fs.ErrPermission) {
			return candidate, nil // to open it says what is in the way
		}
	}
	return "", usage("which authority? there is none in %s", strings.Join(candidates, " or ")).
		hint("name its directory: --authority DIR").hint("make one: virt-pki init")
}

// openAuthorityIn opens the authority of a directory, with the inventory that --db names.
func (p *program) openAuthorityIn(c *cli.Context, dir string) (*ca.Authority, error) {
	if source := p.database(c); source != "" {
		return ca.OpenShared(c.Context, dir, source)
	}
	return ca.Open(c.Context, dir)
}

// database gives where the inventory is, "" for its usual place.
func (p *program) database(c *cli.Context) string {
	if s := c.String("db"); s != "" {
		return s
	}
	return p.getenv(databaseVariable)
}

// placedFlags name the authority and where layouts are, see spots and withSpec.
func placedFlags() []cli.Flag {
	return []cli.Flag{
		authorityFlag(besidePlaces), databaseFlag(),
		&cli.StringSliceFlag{Name: "out", Usage: "`DIR`: with one tree per host, as init makes it"},
		&cli.StringSliceFlag{Name: "pkipath", Usage: "`DIR`: a flat directory"},
		&cli.StringSliceFlag{Name: "root", Usage: "`DIR`: one machine's tree; / is this machine"},
		&cli.StringFlag{Name: "spec", Usage: "`FILE`: the cluster file that says where authority and files are"},
	}
}

// withSpec has the cluster file of --spec name directories as --authority, --out and --pkipath do.
func (p *program) withSpec(action cli.ActionFunc) cli.ActionFunc {
	return func(c *cli.Context) error {
		if !c.IsSet("spec") {
			return action(c)
		}
		cl, err := p.specFile(c)
		if err != nil {
			return err
		}
		if c.String("authority") == "" {
			if err := c.Set("authority", cl.Founding.Dir); err != nil {
				return err
			}
		}
		flag := "out"
		if cl.Flat {
			flag = "pkipath"
		}
		if err := c.Set(flag, cl.Dir); err != nil {
			return err
		}
		return action(c)
	}
}

// spots lists the layouts in the directories that the flags name, each once.
func (p *program) spots(c *cli.Context) ([]layout.Spot, error) {
	var all []layout.Spot
	there := map[string]bool{}
	for _, f := range []struct {
		flag  string
		spots func(dir string) ([]layout.Spot, error)
	}{{"out", cluster.Spots}, {"pkipath", layout.Spots}, {"root", layout.Spots}} {
		for _, dir := range c.StringSlice(f.flag) {
			found, err := f.spots(dir)
			if err != nil {
				return nil, err
			}
			if len(found) == 0 {
				return nil, &hintedError{fmt.Errorf("--%s %s: there is no layout in it", f.flag, shellQuote(dir)),
					[]string{"a layout is there when its CA file is: cacert.pem, etc/pki/CA/cacert.pem, etc/pki/qemu/ca-cert.pem"}}
			}
			for _, s := range found {
				if file := realPath(s.Shown(s.Paths(certs.Client).CA)); !there[file] {
					there[file] = true
					all = append(all, s)
				}
			}
		}
	}
	return all, nil
}

// realPath gives the one name that a directory's file has, by whatever path it is reached.
func realPath(file string) string {
	dir, err := filepath.Abs(filepath.Dir(file))
	if err != nil {
		return file
	}
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	return filepath.Join(dir, filepath.Base(file))
}
