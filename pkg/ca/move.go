package ca

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/virt-pki/virt-pki/pkg/internal/durable"
	"github.com/virt-pki/virt-pki/pkg/inventory"
)

// movedFile is what an inventory's file is called after its content has gone elsewhere.
const movedFile = inventoryFile + ".moved"

// MoveInventory moves the inventory of an authority into a PostgreSQL database, or, where to is "", from there into the usual
// file of its directory, and has the authority say where it is from now on (Open). It gives the number of certificates. Nobody
// should be issuing meanwhile.
//
// At every moment the authority has a whole inventory: first everything is copied, then it is said, and only then the file that
// was left is called inventory.db.moved. So a move that was interrupted is repeated; and one that is done already does nothing.
// A database may hold something already: what is there stays (inventory.Copy).
func MoveInventory(ctx context.Context, dir, to string) (int, error) {
	fail := func(err error) (int, error) { return 0, fmt.Errorf("moving the inventory: %w", err) }
	if to != "" && !inventory.IsPostgres(to) {
		return fail(&PathError{to, "it is not the URL of a database", nil, "postgres://USER@HOST/DATABASE"})
	}
	held, err := durable.LockDir(ctx, dir)
	if err != nil {
		return fail(err)
	}
	defer held.Release()
	source, err := inventorySource(dir)
	if err != nil {
		return fail(err)
	}
	file := filepath.Join(dir, inventoryFile)
	if to == "" {
		return moveToFile(ctx, dir, source, file)
	}
	target, err := inventory.Open(ctx, to)
	if err != nil {
		return fail(err)
	}
	defer target.Close()
	if inventory.IsPostgres(source) && source != target.Path() {
		return fail(&PathError{dir, "its inventory is in another database already: " + source, nil, "virt-pki inventory move --to-file brings it back first"})
	}
	from, err := inventory.Open(ctx, file)
	switch {
	case errors.Is(err, fs.ErrNotExist) && source == target.Path():
		return 0, nil // done already
	case err != nil:
		return fail(err)
	}
	defer from.Close()
	if _, err := inventory.Copy(ctx, from, target); err != nil {
		return fail(err)
	}
	if err := durable.WriteFile(filepath.Join(dir, inventoryURL), []byte(target.Path()+"\n"), 0o644, true); err != nil {
		return fail(err)
	}
	// What a process has recorded meanwhile that opened the file before.
	n, err := inventory.Copy(ctx, from, target)
	if err != nil {
		return fail(err)
	}
	if err := from.Close(); err != nil {
		return fail(err)
	}
	if err := os.Rename(file, filepath.Join(dir, movedFile)); err != nil {
		return fail(&PathError{file, "it cannot be renamed: " + reason(err), err, ""})
	}
	return n, syncDir(dir)
}

// moveToFile is MoveInventory out of a database, which keeps what it has.
func moveToFile(ctx context.Context, dir, source, file string) (int, error) {
	fail := func(err error) (int, error) { return 0, fmt.Errorf("moving the inventory: %w", err) }
	if !inventory.IsPostgres(source) {
		return 0, nil // it is there
	}
	from, err := inventory.Open(ctx, source)
	if err != nil {
		return fail(err)
	}
	defer from.Close()
	to, err := inventory.Open(ctx, file) // of an interrupted move
	if errors.Is(err, fs.ErrNotExist) {
		to, err = inventory.Create(ctx, file)
	}
	if err != nil {
		return fail(err)
	}
	defer to.Close()
	n, err := inventory.Copy(ctx, from, to)
	if err != nil {
		return fail(err)
	}
	if err := errors.Join(to.Close(), syncDir(dir)); err != nil {
		return fail(err)
	}
	if err := os.Remove(filepath.Join(dir, inventoryURL)); err != nil {
		return fail(&PathError{filepath.Join(dir, inventoryURL), "it cannot be removed: " + reason(err), err, ""})
	}
	return n, syncDir(dir)
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := durable.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.SyncDir(".")
}
