// Names for what the chain names. What this page has no text for yet is shown as the chain calls it.

import { tagged } from "./format.js";
import { t } from "./words.js";

export const stateName = (name) => t(`deal.state.${name}`, null, name);
const orderState = (name) => t(`order.state.${name}`, null, name);
export const ended = (why) => t(`ended.${why}`, null, why);
export const failure = (why) => t(`failure.${why}`, null, why);
export const cancellation = (why) => t(`cancellation.${why}`, null, why);
export const finding = (name) => t(`finding.${name}`, null, name);
export const question = (name) => t(`question.${name}`, null, name);
export const step = (name) => t(`step.${name}`, null, name);
export const reason = (name) => t(`reason.${name}`, null, name);
export const checkName = (name) => t(`check.${name}`, null, name);
export const roleName = (name) => t(`role.${name}`, null, name);
export const sideName = (name) => t(`side.${name}`, null, name);
export const opName = (name) => t(`op.${name}`, null, name);
export const statusName = (name) => t(`status.${name}`, null, name);

/** An order's state, with the reason if it was cancelled. */
export const orderLife = (order) => `${orderState(tagged(order.state)[0])}${order.cancelled ? ` (${ended(order.cancelled)})` : ""}`;

/** Why a deal failed or ended; both say `why`. */
export const endOf = (state, why) => (state === "cancelled" ? cancellation(why) : failure(why));
