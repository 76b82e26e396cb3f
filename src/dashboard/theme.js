// Light, dark, or as the system has it.

const KEY = "ticketgate-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };

function kept() {
  try {
    return localStorage.getItem(KEY) || "system";
  } catch {
    return "system";
  }
}

export function apply(theme = kept()) {
  if (theme === "system") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.dataset.theme = theme;
  return theme;
}

export function turn() {
  const theme = NEXT[kept()] || "system";
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // A browser that keeps nothing has the theme until it is closed.
  }
  return apply(theme);
}
