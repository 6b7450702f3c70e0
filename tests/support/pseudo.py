"""Catalogues for tests in which each message stands in ⟦brackets⟧.

A text on a page that has none was not taken through the catalogues.
"""

from __future__ import annotations

import importlib.util
from importlib.machinery import SourceFileLoader
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from support import CHECKOUT

OPEN, CLOSE = "⟦", "⟧"

FIND_PLAIN = r"""
(known) => {
  // The browser itself writes lengths of time in the page's language.
  const { locale } = window.unispawnerPage ?? {};
  const units = ["day", "hour", "minute"].flatMap((unit) => [0, 1, 2, 3, 11, 100].flatMap((count) =>
    new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "long" }).formatToParts(count)
      .filter(({ type }) => type === "unit").map(({ value }) => value)));
  units.sort((one, other) => other.length - one.length);
  const plain = (text) => {
    let rest = text;
    for (let before = null; before !== rest;) {
      before = rest;
      rest = rest.replace(/⟦[^⟦⟧]*⟧/gs, " ");
    }
    for (const one of [...known, ...units]) rest = rest.replaceAll(one, " ");
    return /\p{L}/u.test(rest);
  };
  const found = [];
  const ours = "[lang]:not(html)";
  const roots = [...document.querySelectorAll(ours)]
    .filter((one) => !one.parentElement.closest(ours));
  for (const root of roots) {
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const { parentElement, textContent } = walker.currentNode;
      const shown = !parentElement.closest("script, style, noscript, time");
      if (shown && plain(textContent)) found.push(textContent.trim());
    }
    for (const element of [root, ...root.querySelectorAll("*")]) {
      for (const name of ["aria-label", "placeholder", "title", "alt", "data-label"]) {
        const text = element.getAttribute(name);
        if (text && plain(text)) found.push(`${name}: ${text}`);
      }
    }
  }
  return [roots.length > 0, found];
}
"""
"""JavaScript: whether the page has parts of ours, and their texts that are in no brackets.
``known`` are names of users, profiles and hosts, and the scheduler's words."""

FIND_OVERFLOW = r"""
() => [...document.querySelectorAll("[lang]:not(html), [lang]:not(html) *")].filter((one) => {
  const mayStandOut = "pre, .table-responsive, .visually-hidden, option, script";
  if (one.closest(mayStandOut) || !one.getClientRects().length) return false;
  const box = one.getBoundingClientRect();
  return box.width && (box.left < -1 || box.right > document.documentElement.clientWidth + 1);
}).map((one) => `${JSON.stringify(one.getBoundingClientRect())} ${one.outerHTML.slice(0, 160)}`)
"""
"""JavaScript: the elements of ours that stand out of the page at its sides."""


def write_pseudo_catalogue(folder: Path, language: str) -> None:
    """Write a catalogue of all messages of the code, each in brackets."""
    loader = SourceFileLoader("ci_catalogues", str(CHECKOUT / "ci" / "catalogues"))
    spec = importlib.util.spec_from_loader(loader.name, loader)
    assert spec
    program = importlib.util.module_from_spec(spec)
    loader.exec_module(program)
    catalogue = Catalog(locale=language, fuzzy=False)
    for one in program.extract():
        if isinstance(one.id, str) and one.id:
            catalogue.add(one.id, f"{OPEN}{one.id}{CLOSE}", one.locations)
        elif one.id:
            forms = (f"{OPEN}{one.id[1]}{CLOSE}",) * catalogue.num_plurals
            catalogue.add(one.id, forms, one.locations)
    path = folder / language / "LC_MESSAGES" / "unispawner.po"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_po(file, catalogue)
