"""The index: folders of compositions, scanned and watched."""
