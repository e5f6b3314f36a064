// Run in a page: what an accessibility checker would find first, in shadow trees too. Gives what is wrong.
() => {
  const found = [];
  const all = [];
  const walk = (root) => root.querySelectorAll("*").forEach((e) => { all.push(e); if (e.shadowRoot) walk(e.shadowRoot); });
  walk(document);
  const tell = (e, what) => found.push(`${what}: ${e.outerHTML.slice(0, 120)}`);
  const shown = (e) => e.checkVisibility({ contentVisibilityAuto: false }) && !e.closest("[aria-hidden=true]");
  const byId = (e, ids) => ids.split(/\s+/).map((id) => e.getRootNode().getElementById(id));
  const name = (e) => {
    if (e.getAttribute("aria-labelledby")) return byId(e, e.getAttribute("aria-labelledby")).map((l) => l?.textContent ?? "").join(" ").trim();
    const labels = e.labels ? [...e.labels].map((l) => l.textContent).join(" ") : "";
    return (e.getAttribute("aria-label") || labels || (e.matches("input, select") ? "" : e.textContent) || e.getAttribute("title") || "").trim();
  };
  const roles = "button link slider img region navigation search log group status heading list".split(" ");
  for (const e of all.filter(shown)) {
    if (e.matches("a[href], button, input, select, summary, [role=slider], section, nav, [role=group], [role=log], [role=search], table.bars, h1, h2") && !name(e)) tell(e, "no name");
    if (e.matches("img, svg") && !e.closest("[aria-hidden=true]") && !name(e)) tell(e, "no alternative");
    if (e.hasAttribute("role") && !roles.includes(e.getAttribute("role"))) tell(e, "unknown role");
    for (const kind of ["aria-labelledby", "aria-describedby"]) {
      if (e.hasAttribute(kind) && byId(e, e.getAttribute(kind)).includes(null)) tell(e, `${kind} leads nowhere`);
    }
    if (e.matches("[role=slider]") && !["aria-valuemin", "aria-valuemax", "aria-valuenow", "aria-valuetext"].every((n) => e.hasAttribute(n))) tell(e, "slider without values");
    if (e.matches("label[for]") && !e.getRootNode().getElementById(e.getAttribute("for"))) tell(e, "label of nothing");
    if (e.matches("table") && !e.querySelector("th")) tell(e, "table without heads");
    if (e.matches("ul, ol") && [...e.children].some((c) => c.tagName !== "LI")) tell(e, "list with other than items");
    const box = e.getBoundingClientRect();
    if (e.matches("button, input, select") && (box.width < 24 || box.height < 24)) tell(e, `small target ${box.width}x${box.height}`);
    if (/^\d+$/.test(e.getAttribute("tabindex") ?? "") && Number(e.getAttribute("tabindex")) > 0) tell(e, "tabindex above 0");
    if (e.hasAttribute("style") && !e.style.length) tell(e, "style attribute");
    if ([...e.attributes].some((a) => a.name.startsWith("on"))) tell(e, "inline handler");
  }
  const ids = all.filter((e) => e.id).map((e) => `${e.getRootNode() === document} ${e.id}`);
  for (const id of new Set(ids)) if (ids.filter((one) => one === id).length > 1) found.push(`id twice: ${id}`);
  if (document.querySelectorAll("h1").length !== 1) found.push("not one h1");
  if (!document.documentElement.lang) found.push("no language");
  for (const one of ["main", "header", "nav"]) if (!document.querySelector(one)) found.push(`no ${one}`);
  if (document.querySelectorAll("[role=status]").length < 1) found.push("no live region");
  const channel = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const parsed = (text) => (text.match(/[\d.]+/g) ?? []).map(Number);
  const parent = (e) => e.parentElement ?? e.getRootNode().host ?? null;
  const behind = (e) => { for (; e; e = parent(e)) { const c = getComputedStyle(e).backgroundColor; const p = parsed(c); if (c.startsWith("rgb") && (p[3] ?? 1) === 1) return p; } return [255, 255, 255]; };
  for (const e of all.filter(shown)) {
    if (e.closest(":disabled") || e.matches("option") || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
    if (e.closest(".unseen, .unknown, .skip")) continue;
    const [front, back] = [light(parsed(getComputedStyle(e).color)), light(behind(e))];
    const contrast = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (contrast < 4.5) tell(e, `contrast ${contrast.toFixed(2)}`);
  }
  return found;
}
